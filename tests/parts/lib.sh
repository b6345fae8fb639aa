# For the parts: print TAP, run what prints TAP, ask the Makefile. Sourced.
# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

built=() # by build_each
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

MAKE=(make --no-print-directory HUISCLOS_IN_ROOT=1)

tap_failures=0
tap_ok() { echo "ok - $1"; }
tap_skip() { echo "ok - $1 # SKIP $2"; }
tap_fail() {
	echo "not ok - $1"
	tap_failures=$((tap_failures + 1))
}
# Lines of stdin as diagnostics.
tap_note() { sed 's/^/# /'; }
tap_done() { [ "$tap_failures" = 0 ]; exit; }

# tap_command DESCRIPTION COMMAND...: passes if the command does; its output is shown if it does not.
tap_command() {
	local what=$1
	shift
	if "$@" >"$scratch/output" 2>&1; then
		tap_ok "$what"
	else
		tap_fail "$what"
		tail -n 60 "$scratch/output" | tap_note
	fi
}

# tap_program NAME SECONDS COMMAND...: run something that prints TAP and pass its lines on with NAME in front.
# Dying, ending with an error without a failed test, and fewer tests than planned are failures.
tap_program() {
	local name=$1 seconds=$2 status=0
	shift 2
	timeout --kill-after=5 "$seconds" "$@" >"$scratch/tap" 2>&1 </dev/null || status=$?
	sed -E "s/^(not ok|ok)( [0-9]+)?( -)? */\1 - ${name//\//\\/}: /" "$scratch/tap"
	# A group's plan ("1..N") counts only that group.
	awk -v name="$name" -v status="$status" -v seconds="$seconds" '
		/^1\.\.[0-9]+/ { planned += substr($0, 4) + 0 }
		/^(not )?ok( |$)/ { seen++ }
		/^not ok/ { bad++ }
		END {
			if (status == 124 || status == 137)
				why = "killed after " seconds " s"
			else if (status > 128)
				why = "died of signal " (status - 128)
			else if (status != 0 && !bad)
				why = "exit status " status " though no test failed"
			else if (!seen)
				why = "ran no test"
			else if (planned && seen < planned)
				why = "ran " seen " of " planned " tests"
			if (why) { print "not ok - " name ": " why; exit 1 }
			exit bad > 0
		}' "$scratch/tap" || tap_failures=$((tap_failures + 1))
}

# The value of a variable of the Makefile, expanded.
make_variable() { "${MAKE[@]}" -pnq 2>/dev/null | sed -n "s/^$1 :\?= //p" | head -n 1; }

# Build goals two at a time; what fails is built again alone, to say which. Prints the goals that were built.
# build_each FLAVOUR GOAL...
build_each() {
	local flavour=$1 goal
	shift
	if "${MAKE[@]}" -s -k -j2 FLAVOUR="$flavour" "$@" >"$scratch/make" 2>&1; then
		built=("$@")
		return
	fi
	built=()
	for goal; do
		if "${MAKE[@]}" -s FLAVOUR="$flavour" "$goal" >"$scratch/make" 2>&1; then
			built+=("$goal")
		else
			tap_fail "build $goal"
			grep -v '^make' "$scratch/make" | head -n 30 | tap_note
		fi
	done
}

# All files of the project, tracked or not yet, that match the patterns.
project_files() {
	if git_here rev-parse --git-dir >/dev/null 2>&1; then
		git_here ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r f; do
			[ -f "$f" ] && echo "$f"
		done
	else
		find . -path ./build -prune -o -type f -print | sed 's|^\./||' | sort | while read -r f; do
			# shellcheck disable=SC2053 # a pattern
			for p; do [[ $f == $p ]] && echo "$f" && break; done
		done
	fi
}
# The clone may belong to another user than the one who tests.
git_here() { git -c safe.directory='*' "$@"; }
