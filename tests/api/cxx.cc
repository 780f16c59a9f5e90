/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * cxx.cc - faultline.h as C++: it declares C functions, so that the names
 * the linker looks for are those the library has. Compiled by api/header.sh,
 * linked and run by api/pkgconfig.sh.
 */
#include <faultline.h>

int main()
{
	struct fl_context_config config;

	fl_context_config_init(&config);
	return !(fl_version()[0] && fl_strerror(0));
}
