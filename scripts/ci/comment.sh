#!/usr/bin/env bash
# Puts a file into the one comment of this workflow on a pull request: scripts/ci/comment.sh NUMBER FILE
# Needs GITHUB_REPOSITORY and GH_TOKEN.
set -euo pipefail
number=$1 file=$2
marker='<!-- imgpipe: change set -->'
repository="repos/${GITHUB_REPOSITORY:?}"

body=$(mktemp)
trap 'rm -f "$body"' EXIT
{
  echo "$marker"
  cat "$file"
} > "$body"

mine=".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$marker\"))) | .id"
ids=$(gh api --paginate "$repository/issues/$number/comments" --jq "$mine")
if [[ -n $ids ]]; then
  gh api --method PATCH "$repository/issues/comments/${ids%%$'\n'*}" --field "body=@$body" --silent
else
  gh api --method POST "$repository/issues/$number/comments" --field "body=@$body" --silent
fi
