"""The state machine that deploys an approved version, and the newest approved one once the live one is rejected."""

from __future__ import annotations

from typing import Any, Final

from infra.settings import EnvironmentSettings
from infra.workflows.deployment.context import FAILURE, Context, DeployNames
from infra.workflows.deployment.endpoint import change_endpoint
from infra.workflows.deployment.finish import fail_with_reason, finish
from infra.workflows.deployment.model import prepare
from infra.workflows.deployment.smoke import smoke_test
from infra.workflows.deployment.version import choose_version
from infra.workflows.deployment.watch import watch

__all__ = ["FAILURE", "DeployNames", "deploy_machine"]

# An execution has at most 25,000 events: a look with a smoke test is about 33, one at a busy endpoint 13.
_POLLS: Final = 240
_SHORTEST_POLL_SECONDS: Final = 15


def deploy_machine(settings: EnvironmentSettings, names: DeployNames) -> dict[str, Any]:
    """Amazon States Language (JSONPath) of `<prefix>-deploy`.

    Input: EventBridge's "SageMaker Model Package State Change", or {"detail": {"ModelApprovalStatus": "Redeploy"}}
    for the live version under the present settings (the newest approved one where none is live).
    """
    ctx = Context(settings, names)
    limit = settings.serving.deployment_limit_seconds
    poll = max(_SHORTEST_POLL_SECONDS, limit // _POLLS)
    # The service ends a deployment at the limit; rolling back takes as long as starting instances does.
    polls = 2 * limit // poll
    return {
        "Comment": f"Deploys approved versions of {names.model_package_group} to endpoint {ctx.endpoint}",
        "StartAt": "Whose settings",
        # Waits for others, deploys, and takes it back at worst.
        "TimeoutSeconds": 6 * limit + 3600,
        "States": {
            **choose_version(ctx, then="Describe version", poll_seconds=poll, polls=polls),
            **prepare(ctx, then="Look at endpoint"),
            **change_endpoint(
                ctx, then="Wait for deployment", already="Serves already", poll_seconds=poll, polls=polls
            ),
            **watch(ctx, then="Deployed well", smoke="Ask the endpoint", poll_seconds=poll, polls=polls),
            **smoke_test(ctx, back="Progress", later="Wait for deployment"),
            **finish(ctx, withdrawn="Find approved versions"),
            **fail_with_reason(ctx),
        },
    }
