-- What retention, deletion of single messages and encryption need of the log.

-- tail: positions up to it have been deleted; oldest_at: when the message after it was created, infinity when there is
-- none: what has come of age is found without looking at the rest. push_version: that of the queue when the partition
-- last learnt it; a push that was prepared under another one is refused, so no change of what pushes must heed
-- (encryption, size limit, deduplication window) is ever overtaken by one.
alter table regent.partitions
  add column tail bigint not null default 0,
  add column oldest_at timestamptz not null default 'infinity',
  add column push_version int not null default 0;
update regent.partitions p set oldest_at = s.created_at
  from (select distinct on (partition_id) partition_id, created_at from regent.segments order by partition_id, first) s
  where s.partition_id = p.id;
create index partitions_by_age on regent.partitions (queue_id, oldest_at) where oldest_at < 'infinity';

-- These were stored without effect before. Their defaults are now what leaves things as they were; the values of queues
-- that were made under the old defaults cannot be told from chosen ones.
-- backlog_bound: what a queue of limited size held when it was last counted, and what was pushed since: no less than it
-- holds now. It is counted again when that is too much, at most for a fifth of the time.
alter table regent.queues
  add column push_version int not null default 0,
  add column window_buffer_max_seconds int not null default 0,
  add column backlog_bound bigint,
  add column backlog_counted_at timestamptz not null default '-infinity',
  add column backlog_counted_ms float8 not null default 0,
  alter column ttl_seconds set default 0,
  alter column dead_letter_queue set default true,
  alter column dlq_after_max_retries set default true;
update regent.queues set ttl_seconds = 0, dead_letter_queue = true, dlq_after_max_retries = true;

-- A group that was made to start at a time still to come; what is pushed before is not for it.
alter table regent.groups add column starts_at timestamptz;

-- When a group last acknowledged something in a partition.
alter table regent.cursors add column consumed_at timestamptz;

-- Single messages that were deleted. Their lines are blanked in the segment, and their positions count as acknowledged
-- in the cursors; this is where new groups and seeks learn of them.
create table regent.tombstones (
  partition_id bigint not null,
  position bigint not null,
  primary key (partition_id, position)
);

-- What was deleted for its users but still takes room: a partition that is gone, or a group whose cursors are left.
-- It is cleared in small steps; done_to is how far that has come.
create table regent.removals (
  id bigint generated always as identity primary key,
  partition_id bigint,
  queue_id bigint,
  group_id bigint,
  done_to bigint not null default 0,
  check ((partition_id is null) <> (group_id is null))
);
