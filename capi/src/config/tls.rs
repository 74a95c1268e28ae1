//! TLS: the files, and what is wanted of clients.

use std::ffi::c_char;

use memcache_core::{KeyFormat, TlsConfig, TlsVersion, VerifyMode};

use super::mcrs_config;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// What is wanted of a client's certificate: one of the MCRS_VERIFY_ numbers.
pub type mcrs_verify = u32;

/// None is asked for. The default.
pub const MCRS_VERIFY_NONE: mcrs_verify = 0;

/// One is asked for; if the client has one, it must be good.
pub const MCRS_VERIFY_REQUEST: mcrs_verify = 1;

/// A good one is needed.
pub const MCRS_VERIFY_REQUIRE: mcrs_verify = 2;

fn tls(config: &mut mcrs_config) -> &mut TlsConfig {
    config.settings.tls.get_or_insert_default()
}

/// The server's certificate and those above it, and its private key, both PEM;
/// `key` NULL: it is in `chain`. Listeners with TLS need this. The files are read
/// at start and by mcrs_server_reload().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_certificate(
    config: *mut mcrs_config,
    chain: *const c_char,
    key: *const c_char,
) -> mcrs_status {
    entry!(mut config, { chain: path(chain), key: maybe_path(key) }, {
        let tls = tls(config);
        chain.clone_into(&mut tls.chain_cert);
        tls.key = key.map(ToOwned::to_owned);
        Ok(())
    })
}

/// Whether the private key is ASN.1 (DER) and not PEM, the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_key_der(config: *mut mcrs_config, der: bool) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).key_format = if der { KeyFormat::Der } else { KeyFormat::Pem };
        Ok(())
    })
}

/// Who signs certificates of clients: a file, PEM; NULL: no certificate of a
/// client is good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_ca(
    config: *mut mcrs_config,
    path: *const c_char,
) -> mcrs_status {
    entry!(mut config, { path: maybe_path(path) }, {
        tls(config).ca_cert = path.map(ToOwned::to_owned);
        Ok(())
    })
}

/// What clients have to show at listeners of MCRS_TLS_ON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_verify(
    config: *mut mcrs_config,
    verify: mcrs_verify,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).verify_mode = match verify {
            MCRS_VERIFY_NONE => VerifyMode::None,
            MCRS_VERIFY_REQUEST => VerifyMode::Request,
            MCRS_VERIFY_REQUIRE => VerifyMode::Require,
            other => return Err(invalid(format!("there is no verify mode {other}"))),
        };
        Ok(())
    })
}

/// Cipher suites, as OpenSSL writes a list of them; NULL: the default. What is in
/// it is looked at when a server starts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_ciphers(
    config: *mut mcrs_config,
    list: *const c_char,
) -> mcrs_status {
    entry!(mut config, { list: maybe_text(list) }, {
        tls(config).ciphers = list.map(str::to_owned);
        Ok(())
    })
}

/// Bytes that are encrypted before they are sent; less than 64 KiB is taken for
/// 64 KiB, more than 1 MiB for 1 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_write_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).wbuf_size = bytes;
        Ok(())
    })
}

/// Whether TLS sessions can be resumed; default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_session_cache(
    config: *mut mcrs_config,
    on: bool,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).session_cache = on;
        Ok(())
    })
}

/// The oldest version of TLS that is spoken: 12 (the default) or 13.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_min_version(
    config: *mut mcrs_config,
    version: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).min_version = match version {
            12 => TlsVersion::V1_2,
            13 => TlsVersion::V1_3,
            other => return Err(invalid(format!("TLS {other} is not spoken: 12 or 13"))),
        };
        Ok(())
    })
}
