"""Members of event channels as metadata: which objects have their changes published."""

from __future__ import annotations

from halflap_sandbox.salesforce.component import (
    Author,
    Listed,
    Problem,
    Saved,
    check_may,
    none_found,
    required,
)
from halflap_sandbox.salesforce.event_bus import entity_of
from halflap_sandbox.salesforce.markup import Element, element
from halflap_sandbox.salesforce.model import Org


class ChannelMembers:
    """The entities that are selected for change data capture, on the standard channel or another."""

    type = "PlatformEventChannelMember"

    def listed(self, org: Org) -> list[Listed]:
        """List what is selected."""
        folder, suffix = "platformEventChannelMembers", "platformEventChannelMember"
        return [Listed(name, name, f"{folder}/{name}.{suffix}") for name in org.bus.members]

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read one."""
        found = org.bus.members.get(full_name)
        if found is None:
            return None
        channel, selected = element("eventChannel", found[0]), element("selectedEntity", found[1])
        return element("records", element("fullName", full_name), channel, selected, type=self.type)

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Select an entity."""
        org, name = author.org, required(given, "fullName")
        channel, entity = required(given, "eventChannel"), required(given, "selectedEntity")
        old = org.bus.members.get(name)
        check_may(
            old, "platform event channel member", self.type, given, create=create, update=update
        )
        if entity not in {entity_of(each) for each in org.entities}:
            raise Problem("INVALID_INPUT", f"The selected entity, {entity}, isn't valid.")
        org.bus.members[name] = (channel, entity)
        author.stamp(name)
        return Saved(name, created=old is None, changed=old != (channel, entity))

    def delete(self, author: Author, full_name: str) -> str:
        """Select an entity no longer."""
        if author.org.bus.members.pop(full_name, None) is None:
            raise none_found(self.type, full_name)
        return full_name
