#!/usr/bin/env bash
# Writes docs/claims.md: what each published claim came to in some results folders, as their reports
# have it in tables/claims.md.
#
#   results/reference/claims.sh results/domains results/omniglot > docs/claims.md
set -euo pipefail
cat <<'INTRO'
# Published claims, and what came of them here

A claim says which of two strategies has the higher accuracy. It *agrees* or *disagrees* where a
report's decisions tell the two apart in that setting; all else is *undecided*, which speaks neither
for a claim nor against it. Suites hold claims as `[[claims]]`, and `results/reference/claims.sh`
writes this file.
INTRO
for folder in "$@"; do
    printf '\n## %s\n\n' "$(basename "$folder")"
    cat "$folder/report/tables/claims.md"
done
