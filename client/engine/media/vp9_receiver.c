// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_receiver.h"

#include "client/engine/media/limits.h"
#include "client/engine/media/vp9_header.h"

#include <stdlib.h>
#include <string.h>
#include <vpx/vp8dx.h>
#include <vpx/vpx_decoder.h>
#include <vpx/vpx_frame_buffer.h>

// Pictures in the decoder: eight references, the one in work, the one shown, and a margin.
enum { BUFFERS = 12, BORDER = 160 + 32 };
// What libvpx may ask for: the largest picture with its borders, 4:2:0, a margin for alignment.
#define BUFFER_BYTES_MAX ((size_t)(LIMIT_WIDTH + 2 * BORDER) * (LIMIT_HEIGHT + 2 * BORDER) * 3 / 2 + 65536)

struct buffer {
	uint8_t *bytes;
	size_t size;
	int is_used;
};

struct vp9_receiver {
	vpx_codec_ctx_t codec;
	int is_open;
	struct buffer buffer[BUFFERS];
};

// Second lock behind vp9_header: whatever a hidden frame says, it gets no memory beyond the limit.
static int lend_buffer(void *context, size_t size, vpx_codec_frame_buffer_t *out)
{
	struct vp9_receiver *r = context;
	if (size > BUFFER_BYTES_MAX)
		return -1;
	for (int i = 0; i < BUFFERS; i++) {
		struct buffer *b = &r->buffer[i];
		if (b->is_used)
			continue;
		if (b->size < size) {
			free(b->bytes);
			b->bytes = calloc(1, size); // libvpx wants zeros at first
			b->size = b->bytes ? size : 0;
			if (!b->bytes)
				return -1;
		}
		b->is_used = 1;
		out->data = b->bytes;
		out->size = b->size;
		out->priv = b;
		return 0;
	}
	return -1;
}

static int take_back_buffer(void *context, vpx_codec_frame_buffer_t *lent)
{
	(void)context;
	struct buffer *b = lent->priv;
	if (b)
		b->is_used = 0;
	return 0;
}

enum err vp9_receiver_new(struct vp9_receiver **out)
{
	struct vp9_receiver *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	vpx_codec_dec_cfg_t config = { .threads = 1 };
	if (vpx_codec_dec_init(&r->codec, vpx_codec_vp9_dx(), &config, 0) != VPX_CODEC_OK) {
		free(r);
		return ERR_NOMEM;
	}
	r->is_open = 1;
	if (vpx_codec_set_frame_buffer_functions(&r->codec, lend_buffer, take_back_buffer, r) != VPX_CODEC_OK) {
		vp9_receiver_free(r);
		return ERR_NOMEM;
	}
	*out = r;
	return ERR_OK;
}

void vp9_receiver_free(struct vp9_receiver *receiver)
{
	if (!receiver)
		return;
	if (receiver->is_open)
		vpx_codec_destroy(&receiver->codec);
	for (int i = 0; i < BUFFERS; i++)
		free(receiver->buffer[i].bytes);
	free(receiver);
}

static void copy_plane(uint8_t *out, const uint8_t *in, int stride, uint32_t width, uint32_t height)
{
	for (uint32_t y = 0; y < height; y++)
		memcpy(out + (size_t)y * width, in + (ptrdiff_t)y * stride, width);
}

static enum err copy_image(const vpx_image_t *image, struct picture **out)
{
	uint32_t w = image->d_w, h = image->d_h;
	if (image->fmt != VPX_IMG_FMT_I420 || w > LIMIT_WIDTH || h > LIMIT_HEIGHT || w % 2 || h % 2)
		return ERR_PARSE;
	struct picture *picture = picture_new(w, h);
	if (!picture)
		return ERR_NOMEM;
	uint8_t *u = picture->i420 + (size_t)w * h, *v = u + (size_t)w * h / 4;
	copy_plane(picture->i420, image->planes[VPX_PLANE_Y], image->stride[VPX_PLANE_Y], w, h);
	copy_plane(u, image->planes[VPX_PLANE_U], image->stride[VPX_PLANE_U], w / 2, h / 2);
	copy_plane(v, image->planes[VPX_PLANE_V], image->stride[VPX_PLANE_V], w / 2, h / 2);
	*out = picture;
	return ERR_OK;
}

enum err vp9_receiver_decode(struct vp9_receiver *receiver, const uint8_t *frame, size_t size, struct picture **picture)
{
	struct vp9_header header;
	if (vp9_header_parse(frame, size, &header) != ERR_OK || size > LIMIT_PICTURE_BYTES)
		return ERR_DENIED;
	if (vpx_codec_decode(&receiver->codec, frame, (unsigned)size, NULL, 0) != VPX_CODEC_OK)
		return ERR_PARSE;
	vpx_codec_iter_t iterator = NULL;
	const vpx_image_t *image = vpx_codec_get_frame(&receiver->codec, &iterator);
	return image ? copy_image(image, picture) : ERR_AGAIN;
}
