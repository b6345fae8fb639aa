// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/picture.h"

#include <stdlib.h>

struct picture *picture_new(uint32_t width, uint32_t height)
{
	struct picture *picture = malloc(sizeof *picture + picture_bytes(width, height));
	if (picture)
		*picture = (struct picture){ .width = width, .height = height };
	return picture;
}
