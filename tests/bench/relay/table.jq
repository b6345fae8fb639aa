# The figures for people. SPDX-License-Identifier: Apache-2.0
def pad(n): tostring | . + (" " * ([n - length, 1] | max));
def short: if . == null then "-" elif type == "number" and (. >= 100000) then "\(. / 1000 | round)k" else tostring end;
[ "figure", "engine", "n", "bytes", "value", "ratio", "target", "met", "runs" ],
(inputs | [ .name, (.engine // "-"), (.n // "-"), (.bytes // "-"), (.value | short) + " " + .unit, ((.ratio | short) + (if .ratio_to then " of " + .ratio_to else "" end)), (.target | short), (if .met == null then "" elif .met then "yes" else "NO" end), .runs ])
| (.[0] | pad(34)) + (.[1] | pad(18)) + (.[2] | pad(5)) + (.[3] | pad(6)) + (.[4] | pad(24)) + (.[5] | pad(30)) + (.[6] | pad(10)) + (.[7] | pad(5)) + (.[8] | tostring)
