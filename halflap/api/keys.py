"""Keys of programs: for the whole tenant, with the rights that they were given."""

from __future__ import annotations

from halflap.api.asking import USUAL_PAGE, After, Ops, PageSize, last_id, needs, router_of
from halflap.api.operations import Operations
from halflap.api.operations.people import check_grant
from halflap.api.people_view import KeyDraft, KeyMade, KeyRotation, KeyView
from halflap.api.view import ListPage
from halflap.model import AccessKey

MICROS = 1_000_000

router = router_of("/api/keys", "team")


@router.get("")
@needs("admin")
async def list_keys(
    operations: Ops, after: After = None, limit: PageSize = USUAL_PAGE
) -> ListPage[KeyView]:
    """The keys that are good now, oldest first."""
    found = await operations.catalogue.keys.list(after, limit)
    return ListPage(
        items=[key_view(each, operations) for each in found], next=last_id(found, limit)
    )


@router.post("", status_code=201)
@needs("admin")
async def make_key(draft: KeyDraft, operations: Ops) -> KeyMade:
    """Make a key for a program; its secret is shown this once."""
    check_grant(operations.principal, draft.rights)
    keys = operations.catalogue.keys
    id, secret = await keys.make(
        draft.name,
        sorted(set(draft.rights)),
        draft.lasts_seconds * MICROS,
        operations.principal.user,
    )
    return KeyMade.of(key_view(await keys.get(id), operations), key=secret)


@router.post("/{key}/rotate")
@needs("admin")
async def rotate_key(key: str, operations: Ops, draft: KeyRotation | None = None) -> KeyMade:
    """Give a key another secret, for as long as its first; the one before stays good for a while."""
    keys = operations.catalogue.keys
    check_grant(operations.principal, (await keys.get(key)).rights)
    overlap = (draft or KeyRotation()).overlap_seconds * MICROS
    secret = await keys.rotate(key, overlap)
    return KeyMade.of(key_view(await keys.get(key), operations), key=secret)


@router.delete("/{key}", status_code=204)
@needs("admin")
async def revoke_key(key: str, operations: Ops) -> None:
    """Revoke a key, by its id: its next request is refused."""
    await operations.catalogue.keys.revoke(key)


def key_view(key: AccessKey, operations: Operations) -> KeyView:
    """Return a key as it is shown."""
    overlaps = key.former_until > operations.store.clock()
    return KeyView.of(key, former_until=key.former_until if overlaps else None)
