//! What operators see to once all faults are over: whom hosts trust.

use super::World;
use weft_core::config::NetworkSecret;
use weft_core::io::Command;
use weft_core::trust::Trust;

impl World {
    /// Lifts the lists of `hosts`, each of which began with these secrets; and if steps left any two of
    /// them without a secret in common that began with one, gives each the one that it began with.
    pub(crate) fn restore_trust(&mut self, hosts: &[(usize, Vec<NetworkSecret>)]) {
        for (host, _) in hosts {
            if self.hosts[*host].config.allowed.is_some() {
                self.ask(*host, Command::Trust(Trust::Allow { peers: None }));
            }
        }
        let has = |host: usize| {
            let config = &self.hosts[host].config;
            config.secret.iter().chain(&config.old_secret).cloned().collect::<Vec<_>>()
        };
        let share = |ours: &[NetworkSecret], theirs: &[NetworkSecret]| {
            ours.iter().any(|secret| theirs.contains(secret))
        };
        let is_apart = |(one, at_first): &(usize, Vec<NetworkSecret>)| {
            hosts.iter().any(|(two, theirs_at_first)| {
                share(at_first, theirs_at_first) && !share(&has(*one), &has(*two))
            })
        };
        if !hosts.iter().any(is_apart) {
            return;
        }
        for (host, at_first) in hosts {
            for secret in at_first {
                self.give_secret(*host, secret);
            }
        }
    }

    /// Has `host` prove `secret`, and forget the older one of two.
    fn give_secret(&mut self, host: usize, secret: &NetworkSecret) {
        let config = &self.hosts[host].config;
        if config.secret.as_ref() == Some(secret) || config.old_secret.as_ref() == Some(secret) {
            return;
        }
        if config.old_secret.is_some() {
            self.ask(host, Command::Trust(Trust::RetireSecret { force: true }));
        }
        self.ask(host, Command::Trust(Trust::AddSecret { secret: secret.clone() }));
    }
}
