//! Names as they are written on the interfaces of containers.

use super::{Attach, AttachError, Attachments};
use crate::resident::NotedNames;
use ipnet::IpNet;
use std::collections::BTreeSet;
use weft_core::id::ContainerId;
use weft_core::io::Command;
use weft_core::names::NameEntry;

impl Attachments {
    /// The names that `attach` comes to, whose addresses are these, of which it `asked` for some.
    pub(super) fn names_after(
        &self,
        attach: &Attach,
        asked: &[IpNet],
        addresses: &[IpNet],
    ) -> NotedNames {
        let id = &attach.id;
        let mut entries: Vec<NameEntry> = self.node.names().read().own(id).cloned().collect();
        for (name, net) in attach.names.iter().flat_map(|it| asked.iter().map(move |net| (it, net)))
        {
            entries.push(NameEntry {
                name: name.clone(),
                value: net.addr().into(),
                id: id.clone(),
            });
        }
        NotedNames::of(entries, addresses)
    }

    /// Names of `id` (of all without one) were added or removed: that is written on its interface.
    pub async fn named(&self, id: Option<&ContainerId>) {
        let ids = id.map_or_else(|| self.places.ids(), |id| vec![id.clone()]);
        for id in ids {
            if self.places.place(&id).is_some() {
                let _busy = self.turns.wait(&id).await;
                self.nameless.forget(&id);
                self.note_names(&id).await;
            }
        }
    }

    /// Writes on the interface of `id` which names it has.
    pub(super) async fn note_names(&self, id: &ContainerId) {
        let noted = async {
            let mut addresses = self.held(id).await?;
            addresses.extend(self.unheld.of(id));
            let entries: Vec<NameEntry> = self.node.names().read().own(id).cloned().collect();
            Ok::<(), AttachError>(self.host.name(id, NotedNames::of(entries, &addresses)).await?)
        };
        // They are served all the same.
        if let Err(why) = noted.await {
            tracing::warn!(%id, %why, "the names of the container are not written on its interface");
        }
    }

    /// Gives `addresses` of `id`, which was found again, the names that were written on its interface.
    pub(super) async fn name_again(
        &self,
        id: &ContainerId,
        noted: NotedNames,
        addresses: &[IpNet],
    ) {
        let mut commands = Vec::new();
        for (name, net) in
            noted.names.iter().flat_map(|it| addresses.iter().map(move |net| (it, net)))
        {
            let (id, value) = (id.clone(), net.addr().into());
            commands.push(Command::Register { id, name: name.clone(), value });
        }
        let outcomes = self.node.commands(commands).await;
        if noted.has_more || outcomes.iter().any(Result::is_err) {
            tracing::warn!(%id, "the container was found again, and some of its names are lost");
            self.nameless.note(id);
        }
    }

    /// Containers that were found again, and not all of their names.
    pub fn nameless(&self) -> BTreeSet<ContainerId> {
        self.nameless.list()
    }
}
