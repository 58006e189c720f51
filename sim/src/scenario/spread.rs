//! Several hosts at once: `n3..n9` stands for seven of them.

use crate::peer::Peer;
use toml::{Table, Value};

/// The hosts from one to another, both included, if that is what `text` is.
///
/// # Errors
/// When there are none, or not so many.
fn range(text: &str, hosts: usize) -> Result<Option<Vec<String>>, String> {
    let ends = text.split_once("..").map(|(first, last)| (first.parse(), last.parse()));
    let Some((Ok(Peer(first)), Ok(Peer(last)))) = ends else { return Ok(None) };
    if first > last {
        return Err(format!("`{text}` is nobody: write the lower one first"));
    }
    if last >= hosts {
        return Err(format!("there is no {}: there are {hosts} peers", Peer(last)));
    }
    Ok(Some((first..=last).map(|host| Peer(host).to_string()).collect()))
}

/// Writes out the hosts in every list inside of `value`.
fn lists(value: &mut Value, hosts: usize) -> Result<(), String> {
    match value {
        Value::Array(values) => {
            let mut all = Vec::new();
            for mut value in std::mem::take(values) {
                let several = value.as_str().map(|text| range(text, hosts)).transpose()?.flatten();
                if let Some(several) = several {
                    all.extend(several.into_iter().map(Value::String));
                } else {
                    lists(&mut value, hosts)?;
                    all.push(value);
                }
            }
            *values = all;
            Ok(())
        }
        Value::Table(table) => table.iter_mut().try_for_each(|(_, value)| lists(value, hosts)),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => Ok(()),
    }
}

/// `table` with the hosts in its lists written out.
///
/// # Errors
/// Says which hosts there are not.
pub(super) fn in_lists(table: Table, hosts: usize) -> Result<Table, String> {
    let mut value = Value::Table(table);
    lists(&mut value, hosts)?;
    Ok(value.try_into().unwrap_or_default())
}

/// The same for each host that a key of `table` names.
///
/// # Errors
/// Says which hosts there are not.
pub(super) fn in_keys(table: Table, hosts: usize) -> Result<Table, String> {
    let mut all = Table::new();
    for (key, value) in in_lists(table, hosts)? {
        let keys = range(&key, hosts)?.unwrap_or_else(|| vec![key]);
        all.extend(keys.into_iter().map(|key| (key, value.clone())));
    }
    Ok(all)
}

/// A step as it is written, for each of the hosts that its `peer` names.
///
/// # Errors
/// Says which hosts there are not.
pub(super) fn for_each_peer(table: Table, hosts: usize) -> Result<Vec<Table>, String> {
    let table = in_lists(table, hosts)?;
    let peers = table.get("peer").and_then(Value::as_str).map(|text| range(text, hosts));
    let Some(peers) = peers.transpose()?.flatten() else { return Ok(vec![table]) };
    let one = |peer: String| {
        let mut table = table.clone();
        table.insert("peer".to_owned(), Value::String(peer));
        table
    };
    Ok(peers.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    fn read(more: &str) -> Result<Scenario, String> {
        Scenario::from_text(&format!("title = 't'\npeers = 5\n{more}"))
            .map_err(|why| why.to_string())
    }

    #[test]
    fn a_range_stands_for_all_of_its_hosts_wherever_hosts_stand() {
        let short = "step = [
            { at = '1s', do = 'partition', side = ['n1', 'n3..n4'] },
            { at = '2s', do = 'crash', peer = 'n2..n3' },
            { at = '3s', do = 'register', peer = 'n1', container = 'a', name = 'n1.n2' },
        ]
        peer = { 'n2..n3' = { late = true }, n5 = { dials = ['n1..n2'] } }
        end = { gone = ['n2..n3'] }";
        let long = "step = [
            { at = '1s', do = 'partition', side = ['n1', 'n3', 'n4'] },
            { at = '2s', do = 'crash', peer = 'n2' },
            { at = '2s', do = 'crash', peer = 'n3' },
            { at = '3s', do = 'register', peer = 'n1', container = 'a', name = 'n1.n2' },
        ]
        peer = { n2 = { late = true }, n3 = { late = true }, n5 = { dials = ['n1', 'n2'] } }
        end = { gone = ['n2', 'n3'] }";
        assert_eq!(read(short).unwrap(), read(long).unwrap());
    }

    #[test]
    fn a_range_of_nobody_and_one_beyond_the_last_are_mistakes() {
        let crash =
            |peer: &str| read(&format!("step = [{{ at = '1s', do = 'crash', peer = '{peer}' }}]"));
        assert!(crash("n3..n2").unwrap_err().contains("line 3: `n3..n2` is nobody"));
        assert!(crash("n3..n6").unwrap_err().contains("line 3: there is no n6"));
        assert!(crash("n1..n18446744073709551615").unwrap_err().contains("there is no"));
    }
}
