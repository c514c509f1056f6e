//! Certificates that are renewed while a port is open.
//!
//! The files are looked at again and again. A connection that begins later than [`LOOK_EVERY`] after they
//! changed is shown what they hold then, and let in by it; connections that are open stay as they are.
//! Files that cannot be used, or of which only one is the new one yet, change nothing and are told once.

use crate::config::{BadFile, PortTls, TlsFiles};
use octollm_store::{Clock as _, SystemClock};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

/// Whoever renews a certificate does so days before the old one ends.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the files hold, now and later. Looks for as long as somebody reads it.
pub(super) fn watched(port: PortTls) -> Result<watch::Receiver<Arc<ServerConfig>>, BadFile> {
    let mut held = port.read()?;
    let (tell, shown) = watch::channel(Arc::new(port.config(&held)?));
    tell_dates(&port, &held)?;
    tokio::spawn(async move {
        let mut told = None;
        while tokio::time::timeout(LOOK_EVERY, tell.closed()).await.is_err() {
            let (at, before) = (port.clone(), held.clone());
            // A runtime that is ending looks no more.
            let Ok(looked) = tokio::task::spawn_blocking(move || look(&at, &before)).await else { return };
            match looked {
                Ok(None) => told = None,
                Ok(Some((files, config))) => {
                    (held, told) = (files, None);
                    tell.send_replace(Arc::new(config));
                    tracing::info!("{port} is renewed: connections from now on are shown it");
                    let _it_was_read_just_now = tell_dates(&port, &held);
                }
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::warn!("{error}; what was read before is shown on");
                        told = Some(error);
                    }
                }
            }
        }
    });
    Ok(shown)
}

/// Warns of a certificate that is not valid, or will not be for long.
fn tell_dates(port: &PortTls, held: &TlsFiles) -> Result<(), BadFile> {
    if let Some(out_of_date) = port.out_of_date(held, SystemClock.now())? {
        tracing::warn!("{out_of_date}");
    }
    Ok(())
}

/// What the files hold, if it is not what they held before.
fn look(port: &PortTls, before: &TlsFiles) -> Result<Option<(TlsFiles, ServerConfig)>, BadFile> {
    let files = port.read()?;
    if files == *before {
        return Ok(None);
    }
    let config = port.config(&files)?;
    Ok(Some((files, config)))
}
