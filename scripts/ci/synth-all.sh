#!/usr/bin/env bash
# Synthesises every environment: scripts/ci/synth-all.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

for file in environments/*.yaml; do
  make synth ENV="$(basename "$file" .yaml)"
done
