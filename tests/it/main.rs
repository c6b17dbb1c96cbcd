mod journal;
mod journal_codec;
mod journal_disk;
mod store;
mod store_kill;
mod store_sled;
mod tidy;
