// SPDX-License-Identifier: Apache-2.0
#include "mgmt/front.h"

#include <sys/socket.h>

bool front_trust_peer(const struct front *front, int fd, gid_t group)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == front->uid)
		return true;
	if (group == (gid_t)-1)
		return false;
	if (peer.gid == group)
		return true;
	gid_t groups[256];
	size = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(gid_t); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}
