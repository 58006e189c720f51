//! The host itself on the bridge: `weft expose` and `weft hide`.

use super::turns::Asker;
use super::{AddressRequest, AttachError, Attachments, TurnError};
use ipnet::IpNet;
use std::net::IpAddr;
use weft_core::id::ContainerId;
use weft_core::io::Command;
use weft_core::names::{KnownName, Name, NameEntry};

impl Attachments {
    /// Gives the host addresses on the bridge (one of the default subnet when empty), and each of
    /// them `name`. Returns them.
    ///
    /// # Errors
    /// The first step that failed; the steps before it were undone.
    pub async fn expose(
        &self,
        addresses: Vec<AddressRequest>,
        name: Option<Name>,
    ) -> Result<Vec<IpNet>, AttachError> {
        let this = self.clone();
        let turn = self.turns.take(&ContainerId::expose()).await?;
        turn.run(|asker| async move { this.expose_now(&addresses, name, asker).await }).await
    }

    async fn expose_now(
        &self,
        addresses: &[AddressRequest],
        name: Option<Name>,
        asker: Asker<Vec<IpNet>, AttachError>,
    ) {
        let before = match self.held(&ContainerId::expose()).await {
            Ok(before) => before,
            Err(why) => return asker.refuse(why),
        };
        let mut named = Vec::new();
        let outcome = self.try_expose(addresses, &name, &before, &asker, &mut named).await;
        asker.settle(outcome, self.unexpose(&before, name, named)).await;
    }

    /// Puts down in `named` what has the name by this call.
    async fn try_expose(
        &self,
        addresses: &[AddressRequest],
        name: &Option<Name>,
        before: &[IpNet],
        asker: &Asker<Vec<IpNet>, AttachError>,
        named: &mut Vec<IpAddr>,
    ) -> Result<Vec<IpNet>, AttachError> {
        let id = ContainerId::expose();
        for request in addresses {
            // Nor could it be told from the one that weft's own DNS server has, after the state folder went.
            if let AddressRequest::This(address) = request
                && address.prefix_len() == address.max_prefix_len()
            {
                return Err(AttachError::ExposedAlone(*address));
            }
        }
        let asked = self.obtain(&id, addresses, before).await?;
        if !asker.is_waiting() {
            return Err(TurnError::Busy(id).into());
        }
        for address in &asked {
            self.host.add(*address).await?;
        }
        let Some(name) = name else { return Ok(asked) };
        let known = self.node.status().await?;
        for address in asked.iter().map(IpNet::addr) {
            let entry = NameEntry { name: name.clone(), value: address.into(), id: id.clone() };
            let is_ours = |known: &KnownName| known.entry == entry;
            let was_named = known.names.iter().any(is_ours);
            let (id, name) = (id.clone(), name.clone());
            self.node.command(Command::Register { id, name, value: address.into() }).await?;
            if !was_named {
                named.push(address);
            }
        }
        Ok(asked)
    }

    /// Takes from the host what it did not have `before`, and its name from those that were `named`.
    async fn unexpose(&self, before: &[IpNet], name: Option<Name>, named: Vec<IpAddr>) {
        let id = ContainerId::expose();
        let undone = async {
            for address in named {
                let (id, value) = (Some(id.clone()), Some(address.into()));
                let command = Command::Unregister { id, name: name.clone(), value };
                self.node.command(command).await?;
            }
            for address in self.held(&id).await? {
                if !before.contains(&address) {
                    self.host.remove(address).await?;
                    self.release(&id, address).await?;
                }
            }
            Ok::<(), AttachError>(())
        };
        if let Err(why) = undone.await {
            tracing::warn!(%why, "the host stays exposed by a failed call");
        }
    }

    /// Takes exposed addresses (all when empty) from the bridge, and their names. Returns those taken.
    ///
    /// # Errors
    /// When none is exposed or one that is named is not, and nothing was taken; or the kernel refuses.
    pub async fn hide(&self, addresses: Vec<AddressRequest>) -> Result<Vec<IpNet>, AttachError> {
        let this = self.clone();
        let turn = self.turns.take(&ContainerId::expose()).await?;
        turn.run(|asker| async move { asker.commit(this.hide_now(addresses)).await }).await
    }

    async fn hide_now(&self, addresses: Vec<AddressRequest>) -> Result<Vec<IpNet>, AttachError> {
        let id = ContainerId::expose();
        let mut held = self.held(&id).await?;
        held.extend(self.unheld.of(&id));
        for request in &addresses {
            if self.meant(&held, std::slice::from_ref(request)).await?.is_empty() {
                return Err(AttachError::NotExposedWith(request.clone()));
            }
        }
        let taken = self.meant(&held, &addresses).await?;
        if taken.is_empty() {
            return Err(AttachError::NotExposed);
        }
        for address in &taken {
            self.host.remove(*address).await?;
            self.unheld.forget(&id, Some(*address));
            if self.held(&id).await?.contains(address) {
                self.release(&id, *address).await?;
            }
        }
        Ok(taken)
    }
}
