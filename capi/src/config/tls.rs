//! Settings of TLS.

use std::ffi::c_char;

use memcache_core::{KeyFormat, TlsConfig, TlsVersion, VerifyMode};

use super::mcrs_config;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// Names how client certificates are verified: one of the MCRS_VERIFY_ numbers.
pub type mcrs_verify = u32;

/// Asks for no certificate. The default.
pub const MCRS_VERIFY_NONE: mcrs_verify = 0;

/// Asks for a certificate, and verifies it if the client sends one.
pub const MCRS_VERIFY_REQUEST: mcrs_verify = 1;

/// Requires a valid certificate.
pub const MCRS_VERIFY_REQUIRE: mcrs_verify = 2;

/// Returns the settings of TLS. Paths are set there, because they may have any bytes.
fn tls(config: &mut mcrs_config) -> &mut TlsConfig {
    config.settings.tls.get_or_insert_default()
}

/// Sets the files of the server's certificate chain and private key.
///
/// Listeners with TLS need them. mcrs_server_start() and mcrs_server_reload() read the files.
///
/// ```c
/// assert(mcrs_config_set_tls_certificate(config, "server.pem", "server.key") == MCRS_OK);
/// assert(mcrs_config_set_tls_ca(config, "clients.pem") == MCRS_OK);
/// assert(mcrs_config_set_tls_verify(config, MCRS_VERIFY_REQUIRE) == MCRS_OK);
/// assert(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_ON) == MCRS_OK);
/// ```
///
/// @param config  Settings to change.
/// @param chain  Path of a PEM file: the certificate first, then those above it.
/// @param key  Path of the private key; NULL if it is in `chain`.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if a path is empty; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_certificate(
    config: *mut mcrs_config,
    chain: *const c_char,
    key: *const c_char,
) -> mcrs_status {
    entry!(mut config, { chain: path(chain), key: maybe_path(key) }, {
        let tls = tls(config);
        tls.chain_cert = Some(chain.to_owned());
        tls.key = key.map(ToOwned::to_owned);
        Ok(())
    })
}

/// Sets the format of the private key.
///
/// @param config  Settings to change.
/// @param der  true for ASN.1 (DER); false, the default, for PEM.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_key_der(config: *mut mcrs_config, der: bool) -> mcrs_status {
    entry!(mut config, {}, {
        let format = if der { KeyFormat::Der } else { KeyFormat::Pem };
        Ok(config.settings.set("tls_key_format", format.name())?)
    })
}

/// Sets the file of authorities that sign client certificates.
///
/// @param config  Settings to change.
/// @param path  Path of a PEM file; NULL, the default, accepts no client certificate.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `path` is empty; or a common status.
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

/// Sets how listeners with MCRS_TLS_ON verify client certificates.
///
/// @param config  Settings to change.
/// @param verify  One of the MCRS_VERIFY_ numbers; default MCRS_VERIFY_NONE.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another number; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_verify(
    config: *mut mcrs_config,
    verify: mcrs_verify,
) -> mcrs_status {
    entry!(mut config, {}, {
        let mode = match verify {
            MCRS_VERIFY_NONE => VerifyMode::None,
            MCRS_VERIFY_REQUEST => VerifyMode::Request,
            MCRS_VERIFY_REQUIRE => VerifyMode::Require,
            other => {
                return Err(invalid(format!("verify must be one of the MCRS_VERIFY_ numbers, got {other}")));
            }
        };
        Ok(config.settings.set("tls_verify_mode", mode.name())?)
    })
}

/// Sets the cipher suites.
///
/// mcrs_server_start() reads the list.
///
/// @param config  Settings to change.
/// @param list  Names as in OpenSSL, with colons between them; NULL, the default, takes all that
///     are supported.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `list` has a line break; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_ciphers(
    config: *mut mcrs_config,
    list: *const c_char,
) -> mcrs_status {
    entry!(mut config, { list: maybe_text(list) }, { Ok(config.settings.set("tls_ciphers", list)?) })
}

/// Sets how many bytes are encrypted before they are sent.
///
/// @param config  Settings to change.
/// @param bytes  64 KiB to 1 MiB. Smaller numbers, as the default 16 KiB, and larger ones are taken
///     for these limits.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_write_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("tls_wbuf_size", bytes)?) })
}

/// Sets whether clients can resume TLS sessions.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_session_cache(
    config: *mut mcrs_config,
    on: bool,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("tls_session_cache", on)?) })
}

/// Sets the oldest version of TLS that is accepted.
///
/// @param config  Settings to change.
/// @param version  12 for TLS 1.2, the default, or 13 for TLS 1.3.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another number; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_min_version(
    config: *mut mcrs_config,
    version: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        let version = match version {
            12 => TlsVersion::V1_2,
            13 => TlsVersion::V1_3,
            other => return Err(invalid(format!("version must be 12 or 13, got {other}"))),
        };
        Ok(config.settings.set("tls_min_version", version.name())?)
    })
}
