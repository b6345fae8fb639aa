#!/bin/bash
# Tests of tests/run: it counts right, and nothing that goes wrong in a part goes by unseen. Works on a copy with
# parts of its own. SPDX-License-Identifier: Apache-2.0
set -uo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd -P)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

mkdir -p "$tmp/tests/parts"
sed 's/^lint .*/lint 2/' "$top/tests/run" >"$tmp/tests/run"
cp "$top/tests/parts/lib.sh" "$tmp/tests/parts"
chmod +x "$tmp/tests/run"

part() { # part NAME: its script comes from stdin
	{ echo '#!/bin/bash'; cat; } >"$tmp/tests/parts/$1"
	chmod +x "$tmp/tests/parts/$1"
}
run() { PART=$1 HUISCLOS_IN_ROOT=1 "$tmp/tests/run" >"$tmp/out" 2>&1; status=$?; last=$(tail -n 1 "$tmp/out"); }
failed=0
check() { # check DESCRIPTION STATUS LAST-LINE
	if [ "$status" = "$2" ] && [ "$last" = "$3" ]; then echo "ok - $1"; else
		echo "not ok - $1: status $status, last line: $last"
		failed=1
	fi
}
check_output() {
	if grep -q -- "$2" "$tmp/out"; then echo "ok - $1"; else
		echo "not ok - $1"
		sed 's/^/# /' "$tmp/out"
		failed=1
	fi
}

part unit <<<'echo "ok 1 - a"; echo "ok - b"; echo "ok 3 # SKIP why"; echo "TAP is not ok here"'
run unit
check "passed and skipped tests are counted" 0 "2 passed, 0 failed, 1 skipped"
check_output "time and budget are shown" '^== unit: [0-9]* s of [0-9]* s'

part unit <<<'echo "ok 1 - a"; echo "not ok 2 - b"; echo "# because"; exit 1'
run unit
check "a failed test fails the run" 1 "1 passed, 1 failed, 0 skipped"
check_output "... and is shown with its reason" '# because'

part unit <<<'echo "ok 1 - a"; exit 3'
run unit
check "a part that fails without a failed test fails the run" 1 "1 passed, 1 failed, 0 skipped"
part unit <<<'echo nothing here'
run unit
check "so does one that runs no test" 1 "0 passed, 1 failed, 0 skipped"
rm "$tmp/tests/parts/unit"
run unit
check "so does one that does not exist" 1 "0 passed, 1 failed, 0 skipped"

part lint <<<'echo "ok 1 - a"; sleep 987 & sleep 986'
run lint
check "a part that exceeds its budget fails" 1 "1 passed, 1 failed, 0 skipped"
check_output "... by that name" 'exceeded its budget of 2 s'
if [ "$(id -u)" = 0 ] && pgrep -x sleep -a | grep -q ' 98[67]$'; then
	echo "not ok - what it started is gone too"
	failed=1
else
	echo "ok - what it started is gone too"
fi

part unit <<<'echo "ok 1 - a"'
part lint <<<'echo "ok 1 - b"; echo "ok 2 - c"'
run "unit lint"
check "several parts can be chosen" 0 "3 passed, 0 failed, 0 skipped"
run nonsense
check_output "an unknown part is refused" '^usage'

# --- the helpers that turn programs into test lines
helper() { # helper EXPECTED-LAST-LINE DESCRIPTION: the program comes from stdin
	part program
	part unit <<<'. "$(dirname "$0")/lib.sh"; tap_program p 2 tests/parts/program; tap_done'
	run unit
	check "$2" "$([[ $1 = *" 0 failed"* ]] && echo 0 || echo 1)" "$1"
}
helper "2 passed, 0 failed, 0 skipped" "a program's tests are counted" <<<'echo 1..2; echo "ok 1 - x"; echo "ok 2 - y"'
helper "1 passed, 1 failed, 0 skipped" "fewer tests than planned" <<<'echo 1..2; echo "ok 1 - x"'
helper "1 passed, 1 failed, 0 skipped" "death by a signal" <<<'echo "ok 1 - x"; kill -ABRT $$'
helper "1 passed, 1 failed, 0 skipped" "an exit status without a failed test" <<<'echo "ok 1 - x"; exit 9'
helper "0 passed, 1 failed, 0 skipped" "no test at all" <<<':'
helper "1 passed, 1 failed, 0 skipped" "a program that hangs" <<<'echo "ok 1 - x"; sleep 60'
exit $failed
