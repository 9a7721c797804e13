//! Generates the bindings to the installed DPDK and compiles the shim.
//!
//! The compiler flags are pkg-config's own, unchanged, for bindgen and the C compiler alike: they carry the
//! `-include` and the `-march` that DPDK was built with, without which its headers mean something else. The list of
//! libraries is pkg-config's too. What is missing on the machine is said in one sentence that names the package.

use std::env;
use std::io::ErrorKind;
use std::panic;
use std::path::PathBuf;
use std::process::Command;

/// The oldest DPDK that these bindings know.
const OLDEST: &str = "22.11";

/// DPDK's functions that are called as they are; inline ones are in the shim.
const FUNCTIONS: &str = concat!(
    "ek_.*",
    "|rte_(eal_init|eal_cleanup|version|strerror|thread_register|thread_unregister|dev_probe|dev_remove)",
    "|rte_(pktmbuf_pool_create|mempool_free|mempool_avail_count|mempool_in_use_count)",
    "|rte_eth_dev_(get_port_by_name|info_get|configure|adjust_nb_rx_tx_desc|start|stop|close|socket_id)",
    "|rte_eth_dev_(set_mtu|get_mtu|owner_new|owner_set|rss_reta_update|rss_reta_query|rss_hash_conf_get)",
    "|rte_eth_(rx_queue_setup|tx_queue_setup|macaddr_get|promiscuous_disable|allmulticast_enable|stats_get)",
);

/// Types that are only ever pointed to; the crate declares them itself.
const POINTED_TO: &str = "rte_(mbuf|mempool|device)";

/// Types that are left zero, or that bindgen cannot lay out (packed and aligned at once).
const OPAQUE: &str = concat!(
    "rte_eth_(rxseg_capa|switch_info|vmdq_.*|dcb_.*|intr_conf)",
    "|rte_(arp_ipv4|arp_hdr|l2tpv2_combined_msg_hdr|gtp_psc_generic_hdr)",
);

fn main() {
    for file in ["build.rs", "shim.h", "shim.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "LIBCLANG_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if let Err(sentence) = build() {
        println!("cargo::error={}", sentence.replace('\n', " "));
    }
}

fn build() -> Result<(), String> {
    let version = pkg_config("--modversion")?;
    pkg_config(&format!("--atleast-version={OLDEST}")).map_err(|_| {
        format!("DPDK {OLDEST} or newer is needed, but libdpdk {version} is installed: upgrade libdpdk-dev.")
    })?;
    println!("cargo::rerun-if-changed={}/libdpdk.pc", pkg_config("--variable=pcfiledir")?);

    let flags = words(&pkg_config("--cflags")?);
    generate_bindings(&flags)?;
    compile_shim(&flags)?;
    for word in words(&pkg_config("--libs")?) {
        if let Some(library) = word.strip_prefix("-l") {
            println!("cargo::rustc-link-lib={library}");
        } else if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
        }
        // What else it prints is `-Wl,--as-needed`, which rustc asks of the linker in any case.
    }
    Ok(())
}

/// What pkg-config says of libdpdk.
fn pkg_config(question: &str) -> Result<String, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output =
        Command::new(&program).args([question, "libdpdk"]).output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!("{program} is not there, and DPDK is found by it: apt-get install pkg-config.")
            }
            _ => format!("{program} cannot be run: {error}."),
        })?;
    if !output.status.success() {
        return Err("DPDK is not there (pkg-config knows no libdpdk): apt-get install libdpdk-dev, \
                    or build with --no-default-features to do without."
            .to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Words as a shell would take them, with pkg-config's only way of quoting, the backslash.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = words.len() - 1;
        match character {
            '\\' => words[last].extend(characters.next()),
            ' ' | '\n' => words.push(String::new()),
            other => words[last].push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn generate_bindings(flags: &[String]) -> Result<(), String> {
    require_libclang()?;
    let bindings = bindgen::builder()
        .header("shim.h")
        .clang_args(flags)
        .allowlist_function(FUNCTIONS)
        .allowlist_var("EK_.*")
        .blocklist_type(POINTED_TO)
        .opaque_type(OPAQUE)
        .allowlist_type("rte_eth_conf|rte_eth_dev_info|rte_eth_rss_reta_entry64")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(true)
        .derive_default(true)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .map_err(|error| {
            format!("DPDK's headers cannot be read (libclang needs its own: apt-get install libclang-dev): {error}.")
        })?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    bindings.write_to_file(out.join("bindings.rs")).map_err(|error| format!("bindings.rs: {error}."))
}

/// bindgen loads libclang while running, and panics where there is none.
fn require_libclang() -> Result<(), String> {
    let print = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let version = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(print);
    version.map(drop).map_err(|_| {
        "libclang is not there, and the bindings to DPDK are made with it: apt-get install libclang-dev \
         (or set LIBCLANG_PATH to its folder)."
            .to_owned()
    })
}

fn compile_shim(flags: &[String]) -> Result<(), String> {
    let mut build = cc::Build::new();
    for flag in flags {
        build.flag(flag);
    }
    build
        .file("shim.c")
        .opt_level(3)
        .warnings(false)
        .try_compile("evenkeel_dpdk_shim")
        .map_err(|error| format!("the C compiler refused the shim (apt-get install gcc libc6-dev): {error}."))
}
