//! What the status page draws: two totals, and the text in which the daemon keeps its last day.

use super::Store;
use super::sql::count;
use crate::fault::Fault;

impl Store {
    /// Events stored since the store was created, and events acknowledged, all sinks together. A sum over feeds, not
    /// over chunks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn totals(&self) -> Result<(u64, u64), Fault> {
        let sql = "SELECT (SELECT coalesce(sum(stored), 0) FROM feed), \
                   (SELECT coalesce(sum(delivered), 0) FROM account)";
        let mut conn = self.inner.status.lock().await;
        let (stored, delivered): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *conn).await?;
        Ok((count(stored), count(delivered)))
    }

    /// Keeps the text of the last day; it is the admin surface's.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn save_history(&self, text: &str) -> Result<(), Fault> {
        let sql = "INSERT INTO meta (name, value) VALUES ('history', ?1) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let mut tx = self.begin("save the history").await?;
        let done = sqlx::query(sql).bind(text.as_bytes()).execute(tx.conn()).await;
        tx.finish(done.map(|_| ()).map_err(Fault::from)).await
    }

    /// The text last kept by [`Store::save_history`]; empty before the first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load_history(&self) -> Result<String, Fault> {
        let sql = "SELECT value FROM meta WHERE name = 'history'";
        let mut conn = self.inner.status.lock().await;
        let bytes: Option<Vec<u8>> = sqlx::query_scalar(sql).fetch_optional(&mut *conn).await?;
        Ok(String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::fixture::{intake, key, open};

    #[tokio::test]
    async fn a_kept_day_outlives_the_store_and_totals_count_events() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        assert_eq!(
            (store.totals().await.unwrap(), store.load_history().await.unwrap()),
            ((0, 0), String::new())
        );
        store.register_feed(&key("audit")).await.unwrap();
        store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
        for text in ["[1]", "[1,2]"] {
            store.save_history(text).await.unwrap();
        }
        drop(store);
        let store = open(dir.path()).await;
        assert_eq!(
            (store.totals().await.unwrap(), store.load_history().await.unwrap()),
            ((2, 0), "[1,2]".into())
        );
    }
}
