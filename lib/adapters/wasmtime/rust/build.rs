// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Finds the installed library by pkg-config.

fn main() {
    if let Err(error) = pkg_config::Config::new().probe("faultline") {
        panic!("the library faultline was not found; set PKG_CONFIG_PATH to where its faultline.pc lies: {error}");
    }
}
