/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * header.c - faultline.h before any other header.
 *
 * Compiled under several standards by api/header.sh, which shows that the
 * header brings what it needs, and linked and run by api/pkgconfig.sh.
 */
#include <faultline.h>

int main(void)
{
	struct fl_context_config config;
	struct fl_pool_info info = FL_SIZED(info);
	struct fl_written written = FL_SIZED(written);

	fl_context_config_init(&config);
	if (info.size != sizeof(info) || written.size != sizeof(written))
		return 1;
	return !(fl_version()[0] && fl_strerror(0));
}
