"""`gef-registry policy check | show | explain`: is a policy sound, what does it say, and what does it make of an image?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gef_registry.cli.options import (
    EXIT_CODES,
    AtOption,
    ImageArgument,
    PlainHttpOption,
    PolicyOption,
    RepositoryOption,
    moment,
    repository_of,
)
from gef_registry.policy.wording import plain

PolicyArgument = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A shipped policy or a file.", show_default=False)
]


def register(app: typer.Typer) -> None:
    policy = typer.Typer(help="Policies: read them, check them, see what they decide.", no_args_is_help=True)
    policy.command("check")(check_policy)
    policy.command("show")(show_policy)
    policy.command("explain")(explain_policy)
    app.add_typer(policy, name="policy")


def check_policy(policy: PolicyArgument, at: AtOption = None) -> None:
    """Check a policy file: every mistake with its line, and waivers that have expired."""
    from gef_registry.policy.waivers import has_expired
    from gef_registry.wiring.policies import load_named_policy

    when = moment(at)
    loaded = load_named_policy(policy)
    write = sys.stdout.write
    write(f"{loaded.name}: sound\n")
    write(f"digest: {loaded.digest}\nowner: {plain(loaded.owner)}\n")
    write(f"rules: {len(loaded.rules)}, repositories: {len(loaded.repositories)}, waivers: {len(loaded.waivers)}\n")
    if loaded.review_by is not None and loaded.review_by < when.date():
        write(f"warning: it should have been reviewed by {loaded.review_by}\n")
    for waiver in loaded.waivers:
        if has_expired(waiver, when):
            write(f"warning: waiver {waiver.id} for {waiver.rule} expired on {waiver.expires}\n")


def show_policy(policy: PolicyArgument) -> None:
    """Print a policy exactly as it is: the start of your own."""
    from gef_registry.cli.terminal import write_answer
    from gef_registry.wiring.policies import load_named_policy

    write_answer(load_named_policy(policy).raw, None)


def explain_policy(
    image: ImageArgument,
    policy: PolicyOption = None,
    repository: RepositoryOption = None,
    at: AtOption = None,
    plain_http: PlainHttpOption = False,
) -> None:
    """Show, check by check, what a policy makes of an image and which line of it decides."""
    import asyncio

    from gef_registry.cli.check import Request, facts_cache, judge_image
    from gef_registry.cli.tables import print_table
    from gef_registry.oci.reference import parse_image_name
    from gef_registry.policy.explain import explain
    from gef_registry.policy.match import effective
    from gef_registry.settings import load_settings
    from gef_registry.wiring.policies import known_checks, load_named_policy

    name = parse_image_name(image)
    settings = load_settings(flags={"client.policy": policy})
    chosen = load_named_policy(settings.client.policy)
    wanted = repository_of(name, repository)
    request = Request(
        name, chosen, wanted, moment(at), cache=facts_cache(settings), plain_http=plain_http, show_progress=True
    )
    judgement = asyncio.run(judge_image(request))
    known, narrowed = known_checks(), effective(chosen, wanted)
    rows = [
        (result.id, result.outcome.value, explained.action, explained.unknown, explained.because)
        for result in judgement.verdict.results
        for explained in [explain(narrowed, known[result.id])]
    ]
    print_table(("check", "outcome", "a finding leads to", "not knowing leads to", "because"), rows)
    sys.stdout.write(f"\n{judgement.verdict.decision.value}\n")
    for reason in judgement.verdict.reasons:
        sys.stdout.write(f"  {plain(reason)}\n")
    raise typer.Exit(EXIT_CODES[judgement.verdict.decision])
