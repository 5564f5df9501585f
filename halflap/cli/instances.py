"""`halflap instances`: integrations activated for customers, and their life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import click

from halflap.api.execution_view import BulkView
from halflap.api.view import (
    InstanceSummary,
    InstanceView,
    ListenerView,
    ListPage,
    RejectionView,
    Rotated,
    SubscriptionView,
    UpgradePlan,
    VersionView,
)
from halflap.cli import ask
from halflap.cli.amount import Lasting, changed, lasting_option, retention_options, retention_table
from halflap.cli.bulk import follow, time_of
from halflap.cli.client import Client
from halflap.cli.config import added, config_options, filled, version_of
from halflap.cli.group import CommandGroup
from halflap.cli.moves import Move, repeated, settle
from halflap.cli.output import Output, ago, full_name, inline, quoted, state, version
from halflap.cli.pairs import forget_pair, show_pairs
from halflap.cli.pauses import go_on, paused_lines, stand_still
from halflap.cli.reach import customer_option, patience_option, speaks, sure, yes_option
from halflap.errors import ConfigError
from halflap.model import REMOVABLE

flow_option = click.option("--flow", metavar="NAME", help="Only this flow of it.")


def instance_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and the option that name an instance."""
    return click.argument("instance", metavar="INSTANCE")(customer_option(command))


async def find(api: Client, instance: str, customer: str | None) -> InstanceView:
    """An instance by its id, its name, or CUSTOMER/NAME."""
    owner, slash, name = instance.rpartition("/")
    if slash:
        instance, customer = name, owner
    return await api.get(InstanceView, "instances", instance, customer=customer)


@click.group("instances", cls=CommandGroup)
def instances() -> None:
    """Integrations activated for customers: their life.

    INSTANCE is an instance's id, its name, or CUSTOMER/NAME where several customers have one.

    Example: halflap instances add Initech warehouse --activate
    """


@instances.command("list")
@customer_option
@click.option("--integration", metavar="NAME", help="Only those of an integration.")
@click.option("--paused", is_flag=True, help="Only those of which something is paused.")
@speaks()
async def list_instances(api: Client, output: Output, paused: bool, **which: str | None) -> None:
    """List instances, oldest first.

    Example: halflap instances list --customer Initech
    """
    found = await api.list(InstanceSummary, "instances", paused="true" if paused else None, **which)
    output.listing(
        found,
        ("customer", "name", "integration", "version!", "state!", "id", "changed?"),
        lambda each: (
            each.customer_name,
            each.name,
            each.integration,
            version(each.version),
            (f"{each.state}, paused", "yellow") if each.paused else state(each.state),
            each.id,
            (ago(each.changed_at), "dim"),
        ),
        f"no instances yet; the first: {output.command('halflap instances add CUSTOMER INTEGRATION')}",
    )
    for each in () if output.json else found:
        if each.error:
            output.line(f"\n{full_name(each)}: ", (each.error, "red"))
        if each.waits_for:
            output.line(f"\n{full_name(each)} is {each.state}, and waits for {each.waits_for}")


@instances.command("show")
@instance_options
@click.option("--secrets", "shows_secrets", is_flag=True, help="Show what senders sign with, too.")
@speaks(find=find)
async def show_instance(
    api: Client, output: Output, found: InstanceView, shows_secrets: bool
) -> None:
    """Show an instance: its URLs, its config, what it made at apps, what was refused.

    Example: halflap instances show Initech/warehouse
    """
    secrets: dict[str, str] = {}
    if shows_secrets:
        secrets = await api.get(dict[str, str], "instances", found.id, "secrets")
    refused = (await api.get(ListPage[RejectionView], "rejections", instance=found.id)).items
    listeners = (await api.get(ListPage[ListenerView], "instances", found.id, "listeners")).items
    if output.json:
        more = {
            "rejections": [each.model_dump() for each in refused],
            "listeners": [each.model_dump() for each in listeners],
            **({"secrets": secrets} if secrets else {}),
        }
        output.emit({**found.model_dump(), **more})
        return
    output.line((full_name(found), "bold"), "  ", state(found.state))
    if found.error:
        output.line("  ", (found.error, "red"))
    if said := repeated(found):
        output.line(said)
    paused_lines(output, found.paused)
    output.pairs(
        {
            "id": found.id,
            "integration": f"{found.integration}, version {version(found.version)}",
            "config": f"revision {found.revision}" if found.revision else "none yet",
            "added": ago(found.created_at),
            "changed": ago(found.changed_at),
            "waits for": found.waits_for,
            "deployment": found.deployment,
        }
    )
    part(output, "URLs", {k: v for k, v in found.urls.items() if k not in found.addresses})
    part(output, "Mail addresses", found.addresses)
    part(output, "Secrets", secrets)
    part(output, "Config", {name: inline(each) for name, each in found.config.items()})
    part(output, "Connections", found.connections)
    part(output, "Made at apps", {each.flow: subscribed(each) for each in found.subscriptions})
    heard = {f"{each.flow} {each.shard}".strip(): listened(each) for each in listeners}
    part(output, "Listens to", heard)
    counted = {
        flow: ", ".join(f"{count} {what}" for what, count in each.items())
        for flow, each in found.counters.items()
    }
    part(output, "Counted, not kept", counted)
    if refused:
        output.line(("\nRefused requests", "bold"), "  newest first")
        for each in refused[:5]:
            said = f"{each.status} {each.reason}"
            output.line("  ", (f"{ago(each.at):<12} ", "dim"), f"{each.flow}: {said}")


def subscribed(made: SubscriptionView) -> str:
    """Return what a trigger made at an app, in a line."""
    told = [f"webhook {made.remote_id}", *([made.note] if made.note else [])]
    if made.left_because:
        told.append(f"left behind: {made.left_because}")
    if made.expires_at:
        told.append(f"ends {ago(made.expires_at)}, renewed {ago(made.renew_at)}")
    if made.renewal_error:
        told.append(f"the last renewal ({made.renewal}) failed: {made.renewal_error}")
    return ", ".join(told)


def listened(listener: ListenerView) -> str:
    """Return how a listener is, in a line."""
    told = [listener.state]
    if listener.connection:
        told.append(f"until {listener.connection} is mended")
    if listener.last_message_at:
        told.append(f"last message {ago(listener.last_message_at)}")
    if listener.position is not None:
        told.append(f"read up to {listener.position}")
    if listener.gaps:
        last = listener.gaps[-1]
        told.append(f"gap {ago(last.at)} behind {last.cursor[:60]}: {last.reason}")
    return ", ".join([*told, listener.error] if listener.error else told)


@instances.command("rotate")
@instance_options
@click.argument("flow")
@lasting_option("--grace", "grace_seconds", "24h", "15m, 24h, 7d")
@click.option(
    "--secret",
    "given",
    metavar="SOURCE",
    help="The sender's own secret, or its public key (whpk_…): @FILE, env:NAME, or - for stdin.",
)
@speaks(find=find)
async def rotate_secret(
    api: Client, output: Output, found: InstanceView, flow: str, given: str | None, **draft: Any
) -> None:
    """Give the URL of a flow another secret. What was signed with the former is taken for a while.

    Where the trigger makes its own webhook, the instance is deployed again, so that the app is told.
    Otherwise set the new secret at the sender before --grace is over, or take the sender's: --secret.

    Example: halflap instances rotate Initech/warehouse incoming
    """
    draft |= {} if given is None else ask.secrets([f"secret={given}"])
    made = await api.post(Rotated, "instances", found.id, "secrets", flow, json=draft)
    if output.emitted(made):
        return
    output.line((made.secret, "bold"))
    output.line((f"  the former secret is good until {made.former_until}", "dim"))
    if made.redeploys:
        output.line(("  the app is told: the instance is deployed again", "dim"))


@instances.command("retention")
@instance_options
@retention_options
@speaks(find=find)
async def retain_instance(api: Client, output: Output, found: InstanceView, **given: Any) -> None:
    """Show or say for how long what has ended of an instance is kept.

    Each is a number of days, or `default` for what its customer, its integration or the server says.
    What is not named stays. It holds for what ends from then on.

    Example: halflap instances retention Initech/warehouse --execution 90 --payload 7
    """
    if (said := changed(found.retention, given)) is not None:
        found = await api.put(InstanceView, "instances", found.id, "retention", json=said)
    if output.emitted(found.model_dump(include={"id", "retention", "kept"})):
        return
    output.line((full_name(found), "bold"))
    retention_table(output, found.retention, found.kept, "the instance")


@instances.command("add")
@click.argument("customer")
@click.argument("integration")
@click.option("--name", help="What to call it; the integration's name, where it is not given.")
@click.option("--version", "number", help="A version's number or hash.")
@click.option("--target", help="Start on the version that this target has; dev at first.")
@config_options
@click.option("--activate", "activates", is_flag=True, help="Activate it at once.")
@patience_option
@speaks()
async def add_instance(
    api: Client,
    output: Output,
    number: str | None,
    target: str | None,
    answers: tuple[str, ...],
    links: tuple[str, ...],
    activates: bool,
    timeout: float,
    **draft: Any,
) -> None:
    """Configure an integration for a customer; asks for what its config needs.

    Example: halflap instances add Initech warehouse --connection acme=acme --activate
    """
    wanted = await version_of(api, draft["integration"], number, target)
    config, chosen = await filled(api, output, draft["customer"], wanted, answers, links)
    draft |= {"config": config, "connections": chosen, "version": wanted.hash}
    made = await api.post(InstanceView, "instances", json=draft)
    await configured(api, output, made, activates, timeout)


@instances.command("configure")
@instance_options
@config_options
@click.option("--activate", "activates", is_flag=True, help="Activate it, too.")
@patience_option
@speaks(find=find)
async def configure_instance(
    api: Client,
    output: Output,
    found: InstanceView,
    answers: tuple[str, ...],
    links: tuple[str, ...],
    activates: bool,
    timeout: float,
) -> None:
    """Change an instance's config: what is not given stays.

    New events run with it. An active instance that has a deploy flow, or triggers that subscribe with
    a value or a connection that changed, is deployed with the new config: events wait until that is
    done. If it fails, the instance has its former config again.

    Example: halflap instances configure Initech/warehouse --config greeting=Hello --activate
    """
    wanted = await version_of(api, found.integration, found.version.hash, None)
    config, chosen = await filled(
        api, output, found.customer_name, wanted, answers, links, known=found
    )
    draft = {"config": config, "connections": chosen}
    found = await api.put(InstanceView, "instances", found.id, "config", json=draft)
    await configured(api, output, found, activates, timeout)


@instances.command("activate")
@instance_options
@click.option(
    "--catch-up", "catches_up", is_flag=True, help="Then ask the triggers that can what was missed."
)
@click.option(
    "--since", metavar="TIME", help="With --catch-up: a time, or as long ago as 2h or 7d."
)
@patience_option
@speaks(find=find)
async def activate_instance(
    api: Client,
    output: Output,
    found: InstanceView,
    catches_up: bool,
    since: str | None,
    timeout: float,
) -> None:
    """Activate an instance: runs its deploy flow, subscribes its triggers, then takes events.

    Of an active or failed one it does so again, with its newest config; nothing is made twice.
    With --catch-up, what came about at its apps since it was disabled is taken then, as far as its
    triggers can be asked for it; those that cannot are named.

    Example: halflap instances activate Initech/warehouse --catch-up
    """
    if since is not None and not catches_up:
        raise click.UsageError("--since goes with --catch-up")
    query: dict[str, Any] = {"catch_up": "true"} if catches_up else {}
    query |= {} if since is None else {"since": time_of(since)}
    move = Move("activate", "activating", "active", query=query)
    await settle(api, output, found, move, timeout)


@instances.command("upgrade")
@click.argument("instance", metavar="[INSTANCE]", required=False)
@customer_option
@click.option("--version", "number", help="A number, a hash or a target; the newest otherwise.")
@click.option("--all", "meant", is_flag=True, help="All instances of --integration.")
@click.option("--integration", metavar="NAME", help="With --all: whose instances.")
@click.option("--stages", metavar="1%,10%,100%", help="With --all: after how many each stage ends.")
@click.option(
    "--most-failed",
    metavar="N|N%",
    help="With --all: stop where more of a stage fail; 10%, where it is not given.",
)
@click.option(
    "--between", type=Lasting(), metavar="WHILE", help="With --all: rest so long between stages."
)
@click.option(
    "--canary",
    metavar="N|N%|NAMES",
    help="With --all: move so many first, or CUSTOMER/NAME,…; then pause, to go on or back.",
)
@click.option(
    "--pause-on",
    metavar="N%[,COUNT]",
    help="With --all: pause where more of the version's executions fail, of 20 at least, or of COUNT.",
)
@click.option("--leave-out", metavar="NAMES", help="With --all: but CUSTOMER/NAME,…")
@click.option("--dry-run", is_flag=True, help="With --all: only say what it would do.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@config_options
@patience_option
@speaks()
async def upgrade_instance(
    api: Client,
    output: Output,
    instance: str | None,
    customer: str | None,
    number: str | None,
    meant: bool,
    answers: tuple[str, ...],
    links: tuple[str, ...],
    timeout: float,
    **many: Any,
) -> None:
    """Move an instance to another version of its integration; asks for what its config needs.

    What is not given stays, what the version no longer has is dropped. Executions that have begun
    keep their version and their config.

    With --all, the server moves all instances of an integration that are on another version, stage by
    stage, and stops where too many fail; those stay on their version. It goes on after Ctrl-C.
    `halflap bulks show` says how far it is, `halflap bulks back` takes it back. With --canary it moves
    some first, says their names, and pauses: `halflap bulks resume` goes on with the others. With
    --pause-on it goes on by itself once enough executions have ended. --config gives values to the
    instances that have none: what the version asks for is asked once for all.

    Example: halflap instances upgrade Initech/warehouse --version 3 --config site=Graz
    """
    if meant:
        if instance is not None or many["integration"] is None or links:
            raise click.UsageError(
                "--all goes with --integration NAME; it names no instance, and no connection"
            )
        await upgrade_all(api, output, customer=customer, number=number, answers=answers, **many)
        return
    if any(many.values()):
        raise click.UsageError(
            "--integration, --stages, --most-failed, --between, --canary, --pause-on, --leave-out, "
            "--dry-run and --yes go with --all"
        )
    if instance is None:
        raise click.UsageError("name an instance, or say --all --integration NAME")
    found = await find(api, instance, customer)
    wanted = await version_of(api, found.integration, number, None)
    if wanted.hash == found.version.hash:
        if answers or links:
            named = quoted(full_name(found))
            raise ConfigError(
                f"{found.name} has version {wanted.number} already; to change its config: "
                + output.command(
                    f"halflap instances configure {named} --config NAME=VALUE --activate"
                )
            )
        output.answer(found, f"{found.name} has version {wanted.number} already")
        return
    config, chosen = await added(api, output, found, wanted, answers, links)
    draft = {"version": wanted.hash, "config": config, "connections": chosen}
    move = Move("upgrade", "upgrading", "active", draft)
    await settle(api, output, found, move, timeout)


async def upgrade_all(
    api: Client,
    output: Output,
    *,
    integration: str,
    customer: str | None,
    number: str | None,
    stages: str | None,
    most_failed: str | None,
    between: int | None,
    canary: str | None,
    pause_on: str | None,
    leave_out: str | None,
    answers: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> None:
    """Say which instances would be moved; unless that is all, move them, and show the progress."""
    wanted = await version_of(api, integration, number, None)
    draft: dict[str, Any] = {
        "version": wanted.hash,
        "customer": customer,
        "stages": stages.split(",") if stages else [],
        "most_failed": most_failed or "10%",
        "between": between or 0,
        "canary": await canary_of(api, canary),
        "pause_on": rule_of(pause_on),
        "leave_out": await ids_of(api, leave_out) if leave_out else [],
        "config": shared_config(wanted, answers),
    }
    at = ("integrations", integration, "upgrade")
    plan = await api.post(UpgradePlan, *at, json={**draft, "dry_run": True})
    if output.asks and (asked := set(plan.asked) - set(draft["config"])):
        draft["config"] |= shared_config(wanted, (), asked)
        plan = await api.post(UpgradePlan, *at, json={**draft, "dry_run": True})
    if dry_run and output.json:
        output.emit(plan)
        return
    many = f"{plan.total:,} instance{'' if plan.total == 1 else 's'}"
    what = f"{many} of {integration} to version {version(plan.version)}"
    if not output.json:
        output.line(what, (f"  in stages that end at {plan.stages}", "dim"))
        upgrade_lines(output, plan)
    if dry_run or (not plan.total and not output.json):
        return
    if not yes and not output.json:
        sure(yes, f"Move {what}?")
    if canary:
        draft["canary"] = [each.id for each in plan.canary]
    await follow(api, output, await api.post(BulkView, *at, json=draft))


async def canary_of(api: Client, text: str | None) -> str | list[str] | None:
    """Return a canary as the API takes it: a number or a share, or the ids of named instances."""
    if text is None or text.removesuffix("%").replace(".", "").isdecimal():
        return text
    return await ids_of(api, text)


async def ids_of(api: Client, names: str) -> list[str]:
    """Return the ids of instances that are named with commas between."""
    return [(await find(api, each.strip(), None)).id for each in names.split(",")]


def rule_of(text: str | None) -> dict[str, Any] | None:
    """Return `5%`, or `5%,100`, as the API takes the rule by which an upgrade pauses itself."""
    if text is None:
        return None
    share, _, least = text.partition(",")
    if least and not (least.isdecimal() and int(least) > 0):
        raise click.UsageError(f"--pause-on {text!r}: write a share and a number, as 5%,100")
    return {"failed": share} | ({"of": int(least)} if least else {})


def shared_config(
    wanted: VersionView, answers: tuple[str, ...], asked: Collection[str] = ()
) -> dict[str, Any]:
    """Return the values that all instances without one get: given, or asked for at the prompt."""
    if not answers and not asked:
        return {}
    form, given = ask.SchemaForm(wanted.config), ask.pairs(answers, "--config")
    named = {each.partition(".")[0] for each in given} | set(asked)
    known = set(wanted.config.get("properties") or {}) - named
    return form.fill(given, ask=bool(asked), known=known, flag="--config")


def upgrade_lines(output: Output, plan: UpgradePlan) -> None:
    """Print which instances are moved first, and which ones cannot be moved."""
    if plan.canary:
        names = ", ".join(map(full_name, plan.canary))
        output.line("first, as a canary: ", (names, "bold"))
    for what, some in (
        ("given", Counter(each for one in plan.instances for each in one.given)),
        ("its default", Counter(each for one in plan.instances for each in one.defaults)),
    ):
        for name, count in sorted(some.items()):
            output.line("  ", (name, "bold"), f" is {what} in {count:,} of {len(plan.instances):,}")
    of = f" of the first {len(plan.instances):,}" if len(plan.instances) < plan.total else ""
    for each in plan.blocked:
        some = ", ".join(map(full_name, each.instances))
        left = each.count - len(each.instances)
        more = f" and {left:,} more" if left else ""
        output.line(f"  {each.count:,}{of} cannot be: {some}{more}: ", (each.why, "yellow"))


@instances.command("disable")
@instance_options
@yes_option
@click.option(
    "--abandon", is_flag=True, help="Leave behind what cannot be taken down; it is tried again."
)
@patience_option
@speaks(find=find)
async def disable_instance(
    api: Client,
    output: Output,
    found: InstanceView,
    yes: bool,
    abandon: bool,
    timeout: float,
) -> None:
    """Disable an instance: closes its URLs, ends what runs, takes down what it made at apps.

    With --abandon it is disabled whatever the app says: what cannot be taken down is left behind,
    with the reason, and is tried again every hour, and as soon as the connection works. It can be
    removed all the same.

    Example: halflap instances disable Initech/warehouse
    """
    if output.asks:  # a script has decided
        named = full_name(found)
        sure(yes, f"Disable {named}: close its URLs, end what runs, run its teardown?")
    query = {"abandon": "true"} if abandon else {}
    move = Move("disable", "disabling", "disabled", query=query)
    await settle(api, output, found, move, timeout)


@instances.command("pause")
@instance_options
@flow_option
@click.option("--reason", default="", help="Why; it is shown where it stands still.")
@speaks(find=find)
async def pause_instance(
    api: Client,
    output: Output,
    found: InstanceView,
    flow: str | None,
    reason: str,
) -> None:
    """Let an instance, or one flow of it, stand still: events are accepted and wait.

    What runs goes on; deployments run all the same.

    Example: halflap instances pause Initech/warehouse --flow stock --reason "Acme is down"
    """
    await stand_still(api, output, "instances", found, reason, flow)


@instances.command("resume")
@instance_options
@flow_option
@speaks(find=find)
async def resume_instance(
    api: Client, output: Output, found: InstanceView, flow: str | None
) -> None:
    """Let an instance, or one flow of it, go on; what else is paused stays so.

    Example: halflap instances resume Initech/warehouse
    """
    await go_on(api, output, "instances", found, flow)


@instances.command("read-on")
@instance_options
@click.option("--flow", required=True, metavar="NAME", help="The flow whose listener has stopped.")
@click.option(
    "--shard", default="", metavar="NAME", help="The part of its source, where it has several."
)
@click.option(
    "--from",
    "start",
    required=True,
    type=click.Choice(["earliest", "latest", "cursor"]),
    help="What the source still has, what comes from now on, or where it stopped.",
)
@click.option("--cursor", metavar="TEXT", help="With --from cursor, another one than it has.")
@speaks(find=find)
async def read_on(
    api: Client, output: Output, found: InstanceView, flow: str, **draft: str | None
) -> None:
    """Decide from where a stopped listener reads on: the source no longer has what it wants.

    Example: halflap instances read-on Initech/orders --flow changed --from earliest
    """
    at = ("instances", found.id, "listeners", flow)
    heard = (await api.post(ListPage[ListenerView], *at, json=draft)).items
    if output.emitted([each.model_dump() for each in heard]):
        return
    shown = {f"{each.flow} {each.shard}".strip(): listened(each) for each in heard}
    part(output, "Listens to", shown)


@instances.command("pairs")
@instance_options
@click.option("--of", "pairs", metavar="NAME", help="Only those of this name in the integration.")
@click.option("--id", metavar="ID", help="Only that of the record with this id.")
@click.option("--side", metavar="SIDE", help="The side that has the ID; any, where left out.")
@click.option("--forget", is_flag=True, help="Forget it: its records belong together no more.")
@yes_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@speaks(find=find)
async def pairs_of_instance(
    api: Client,
    output: Output,
    found: InstanceView,
    forget: bool,
    yes: bool,
    limit: int,
    **wanted: str | None,
) -> None:
    """Show which record at one app is which at the other.

    A wrong pair is forgotten with --forget and the id of one of its records.

    Example: halflap instances pairs Initech/warehouse --of accounts --id acc_1
    """
    if forget:
        await forget_pair(api, output, found, wanted, yes=yes)
    else:
        await show_pairs(api, output, found, wanted, limit)


@instances.command("remove")
@instance_options
@yes_option
@speaks(find=find)
async def remove_instance(api: Client, output: Output, found: InstanceView, yes: bool) -> None:
    """Remove an instance that is disabled, or was never activated.

    Example: halflap instances remove Initech/warehouse
    """
    named = full_name(found)
    if found.state not in REMOVABLE:
        raise ConfigError(
            f"{named} is {found.state}; disable it first, so that its webhooks are taken down: "
            + output.command(f"halflap instances disable {quoted(named)}")
        )
    sure(yes, f"Remove {named} ({found.id}), its URLs, its config and what its flows kept?")
    await api.delete("instances", found.id)
    output.answer({"removed": found.id}, f"removed {named}")


async def configured(
    api: Client, output: Output, found: InstanceView, activates: bool, timeout: float
) -> None:
    """Show an instance with its new config, once that is deployed; activate it where that is wanted."""
    named = full_name(found)
    output.progress(f"configured {named}, revision {found.revision}")
    if found.state == "upgrading":
        move = Move("configure", "upgrading", "active")
        await settle(api, output, found, move, timeout, begun=True)
    elif activates:
        await settle(api, output, found, Move("activate", "activating", "active"), timeout)
    elif output.json:
        output.emit(found)
    else:
        output.line((named, "bold"), "  ", state(found.state), (f"  {found.id}", "dim"))
        if found.state == "active":
            output.note("New events run with this config.")
        else:
            output.next(f"halflap instances activate {quoted(named)}")


def part(output: Output, title: str, rows: Mapping[str, Any]) -> None:
    """A part of what is shown, where there is something in it."""
    if rows:
        output.line((f"\n{title}", "bold"))
        output.pairs({name: str(each) for name, each in rows.items()})
