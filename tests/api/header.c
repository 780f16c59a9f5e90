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

	fl_context_config_init(&config);
	return !(fl_version()[0] && fl_strerror(0));
}
