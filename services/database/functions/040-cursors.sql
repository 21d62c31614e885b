-- From when a partition may be popped again by a group whose cursor seems to have reached the head. The caller holds
-- the cursor row. "Drained" (infinity) may only be written when no push to the partition is in flight: a push that
-- has already looked at this cursor would not look again, and its message would wait for ever. Pushes hold the
-- partition row from before their look until they commit, so a shared lock that is to be had at once proves that none
-- is; the head is then read in a later statement, with a fresh snapshot. Otherwise the partition stays available: at
-- worst one empty look. Nobody ever waits here for a partition while holding a cursor, so there is no deadlock.
create or replace function regent.settle_cursor(p_partition bigint, p_committed bigint) returns timestamptz
language plpgsql set enable_seqscan = off as $$
declare
  v_head bigint;
begin
  perform from regent.partitions where id = p_partition for share skip locked;
  if not found then
    return clock_timestamp();
  end if;
  select head into v_head from regent.partitions where id = p_partition;
  return case when v_head > p_committed then clock_timestamp() else 'infinity' end;
end
$$;

-- Count one more ended delivery for every message of a lease that was not acknowledged.
create or replace function regent.count_deliveries(p_partition bigint, p_group bigint, p_after bigint, p_to bigint, p_acked int8multirange)
returns void language sql set enable_seqscan = off as $$
  insert into regent.attempts (partition_id, group_id, position, deliveries)
    select p_partition, p_group, n.position, 1
      from generate_series(p_after + 1, p_to) as n(position) where not p_acked @> n.position
    on conflict (partition_id, group_id, position) do update set deliveries = attempts.deliveries + 1
$$;
