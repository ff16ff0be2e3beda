#!/usr/bin/env bash
# What follows the tests in CodeBuild, by the webhook's event: a change set for a pull request, dev for main.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${CODEBUILD_WEBHOOK_EVENT:-none} ${CODEBUILD_WEBHOOK_HEAD_REF:-}" in
  PULL_REQUEST_CREATED\ * | PULL_REQUEST_UPDATED\ * | PULL_REQUEST_REOPENED\ *)
    scripts/ci/change-set.sh dev "${CODEBUILD_WEBHOOK_TRIGGER/\//-}" # pr/12 becomes pr-12
    ;;
  "PUSH refs/heads/main")
    make deploy ENV=dev
    ;;
  *)
    echo "Nothing to deliver: this build is neither of a pull request nor of a push to main."
    ;;
esac
