//! What runs between a start and a stop, and the way it is stopped.

use super::failure::StartError;
use crate::driver::{Driver, DriverError, Frames};
use crate::net::Net;
use crate::probe::Probe;
use crate::store::Store;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Requests that are being answered when the daemon stops have this long to get their answer.
const LAST_WORD_MAX: Duration = Duration::from_millis(50);

/// A driver and the tasks that serve it.
#[derive(Debug)]
pub struct Running {
    driver: JoinHandle<Result<(), DriverError>>,
    stop_driver: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Lets `driver` run.
    pub fn start<N: Net, S: Store, F: Frames, P: Probe>(driver: Driver<N, S, F, P>) -> Self {
        let (stop_driver, mut stopping) = watch::channel(false);
        let driver = tokio::spawn(driver.run(async move {
            // An error is the end of the other side, which means the same.
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        Self { driver, stop_driver, tasks: Vec::new() }
    }

    /// Runs `task` beside the driver, until the stop.
    pub fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    /// Works until `told` resolves or the driver ends by itself, then stops everything.
    ///
    /// # Errors
    /// When the state could not be written any more, or the node broke.
    pub async fn run(mut self, told: impl Future<Output = ()>) -> Result<(), StartError> {
        let ended = tokio::select! {
            biased;
            ended = &mut self.driver => Some(ended),
            () = told => None,
        };
        tracing::info!("weft is stopping");
        self.stop().await;
        match ended {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(why))) => Err(StartError(why.to_string())),
            Some(Err(why)) => Err(StartError(format!("the node broke: {why}"))),
        }
    }

    /// Stops everything. The bridge and what containers have on it stay.
    pub async fn stop(mut self) {
        let _ = self.stop_driver.send(true);
        if !self.driver.is_finished() {
            let _ = (&mut self.driver).await;
        }
        sleep(LAST_WORD_MAX).await;
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}
