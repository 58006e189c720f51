//! Keeps the way of frames whole: the bridge, the TAP device on it, and the thread behind that.
//! Anybody may remove a device, and containers would be cut off without a word.

use super::sleeve::Sleeve;
use crate::attachments::{AttachError, Attachments};
use crate::host::{HostError, PeerKernel};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use weft_datapath::bridge::Standing;

/// Time between two looks: a removed device costs its containers at most this and the mending.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// What is wrong with the way of frames, when it cannot be mended.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Attachments(#[from] AttachError),
    #[error("the forwarding thread has ended: `weft stop`, then launch again")]
    Ended,
}

/// Who looks after the way of frames.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) kernel: PeerKernel,
    pub(super) sleeve: Sleeve,
    pub(super) attachments: Attachments,
    /// What is wrong, for the status.
    pub(super) trouble: Arc<watch::Sender<Option<String>>>,
}

impl Upkeep {
    /// Puts on the bridge what a launch before this one left: containers, exposed addresses, the
    /// DNS server. Then bridges of other names are not needed any longer.
    ///
    /// # Errors
    /// When the node is stopping or the kernel refuses.
    pub(super) async fn begin(&self) -> Result<(), AttachError> {
        self.attachments.begin().await?;
        Ok(self.kernel.retire_bridges().await?)
    }

    /// Looks, and mends what is broken, again and again.
    pub(super) async fn run(self) {
        let mut ticks = interval(LOOK_WAIT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_bare = false;
        loop {
            ticks.tick().await;
            let wrong = self.mend(&mut is_bare).await.err().map(|why| why.to_string());
            let is_news = self.trouble.send_if_modified(|known| {
                let is_news = *known != wrong;
                known.clone_from(&wrong);
                is_news
            });
            match wrong {
                Some(why) if is_news => tracing::error!(%why, "containers are cut off"),
                None if is_news => tracing::info!("containers are on the network again"),
                Some(_) | None => {}
            }
        }
    }

    /// Mends what is broken. `is_bare` is kept for the next call: the bridge was made anew, and
    /// what belongs on it may be missing yet.
    async fn mend(&self, is_bare: &mut bool) -> Result<(), Trouble> {
        if self.sleeve.has_ended() {
            return Err(Trouble::Ended);
        }
        if !self.kernel.has_bridge().await? {
            tracing::warn!("the bridge is gone or down: setting it up again");
            *is_bare = true;
            self.kernel.ensure_bridge().await?;
        }
        match self.kernel.tap().await? {
            Standing::Plugged => {}
            Standing::Unplugged => self.kernel.plug_tap().await?,
            Standing::Gone => {
                tracing::warn!("the TAP device is gone: making it again");
                self.sleeve.replace_tap(self.kernel.open_tap()?);
                self.kernel.plug_tap().await?;
            }
        }
        if *is_bare {
            self.attachments.restore().await?;
            *is_bare = false;
        }
        Ok(())
    }
}
