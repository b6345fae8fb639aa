// Datagrams: hop header, RTP view, RTCP of hop control. SPDX-License-Identifier: Apache-2.0
#include "base/hop.h"
#include "base/packet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet_header header;
	struct packet_rtp rtp;
	struct hop_message message;
	uint8_t again[PACKET_MAX_BYTES];
	static const uint8_t key[PACKET_TAG_KEY_BYTES] = { 1 };
	if (!packet_parse(data, size, &header))
		(void)packet_tag(key, data, size);
	if (!packet_rtp_parse(data, size, &rtp)) {
		struct packet_rtp same;
		memset(again, 0, PACKET_MEDIA_MIN_BYTES);
		packet_rtp_emit(&rtp, again + PACKET_HEADER_BYTES);
		if (packet_rtp_parse(again, PACKET_MEDIA_MIN_BYTES, &same) || rtp.ssrc != same.ssrc || rtp.sequence != same.sequence ||
		    memcmp(again + PACKET_HEADER_BYTES + 17, data + PACKET_HEADER_BYTES + 17, 3) != 0)
			abort();
	}
	if (!hop_rtcp_parse(data, size, &message) && message.kind != HOP_NACK) {
		// A NACK may list a packet twice; every other kind has one form but for the sender's SSRC.
		size_t n = hop_rtcp_emit(0, &message, again);
		if (n != size || memcmp(again + 8, data + 8, n - 8) != 0)
			abort();
	}
	return 0;
}
