#!/usr/bin/env bash
# Makes a change set for every stack of an environment, executes none of them, and prints their changes as Markdown:
# scripts/ci/change-set.sh ENV NAME
set -euo pipefail
environment=$1 name=$2
cd "$(dirname "$0")/../.."

make synth ENV="$environment" >&2
region=$(.venv/bin/python -c \
  'import sys; from infra.environments import load_environment as load; print(load(sys.argv[1]).region)' "$environment")
node=$(.venv/bin/python -c 'from infra.node import use_node; print(use_node().parent)')
export PATH="$node:$PATH"

cdk() { node_modules/.bin/cdk --app cdk.out "$@"; }

# The options of `make deploy`, so that the change sets are those that it would execute.
cdk deploy --all --import-existing-resources --require-approval never \
  --method prepare-change-set --change-set-name "$name" >&2
stacks=$(cdk list)

echo "## Changes to \`$environment\`"
echo
echo "Change sets \`$name\`, not executed. Replacement means that the resource is made anew."
for stack in $stacks; do
  changes=$(aws cloudformation describe-change-set --region "$region" --stack-name "$stack" \
    --change-set-name "$name" --output text \
    --query 'Changes[].ResourceChange.[Action,Replacement,ResourceType,LogicalResourceId]')
  echo
  echo "### $stack"
  echo
  if [[ -z $changes || $changes == None ]]; then
    echo "No changes."
    continue
  fi
  echo "| Action | Replacement | Type | Resource |"
  echo "|---|---|---|---|"
  awk -F '\t' '{ printf "| %s | %s | `%s` | `%s` |\n", $1, ($2 == "None" ? "" : $2), $3, $4 }' <<< "$changes"
done
