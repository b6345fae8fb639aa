# Members behind a switch, so that the server sends to all by one device, as X needs. Sourced by scenarios, after lib.sh.
# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0
#
#   client-N  10.77.1.N+1, fd77:1::N+1  ── wan │ port-N ── bridge ── port-0 │ c1 ── server
#
# The device at the server is a veth whose other end does GRO: that is what takes packets that XDP redirects. Members
# compute checksums themselves, as a card would: X leaves packets to T whose checksum is not there yet.

lab_switch() {
	lab_host switch
	ip -n switch link add bridge type bridge mcast_snooping 0 stp_state 0
	ip -n switch link set bridge up
	ip -n server link add c1 type veth peer name port-0 netns switch
	ip -n switch link set port-0 master bridge up
	on switch ethtool -K port-0 gro on >/dev/null
	lab_address 1 server c1 1
}

lab_member() { # lab_member N...
	local n
	for n; do
		lab_host "client-$n"
		ip -n "client-$n" link add wan type veth peer name "port-$n" netns switch
		ip -n switch link set "port-$n" master bridge up
		on "client-$n" ethtool -K wan tx off >/dev/null
		lab_address 1 "client-$n" wan $((n + 1))
		ip -n "client-$n" route add default dev wan via 10.77.1.1
		ip -n "client-$n" -6 route add default dev wan via fd77:1::1
	done
}
