-- Deletion in two parts. What its users would see goes at once, in one short transaction: the rows of the queue, its
-- groups and partitions. What takes room (segments, cursors, attempts, dead letters and so on) is left to
-- regent.removal_step_v1, which is told by regent.removals: a row with a partition for each one that is gone, a row with
-- a group for one whose cursors are left, a row with neither for a queue that is gone, behind the rows of its partitions.

-- Delete a queue; whether there was one. Its row is taken for update: nobody makes a partition or a group of it any
-- more, and those who did have committed and are seen by the statements below. The partition rows are locked in the
-- order in which pushes lock them. A push that holds one is waited for, and what it wrote is deleted with the rest; one
-- that comes later, or waits now, finds its partition gone and starts the queue anew, under other ids.
create or replace function regent.delete_queue_v1(p_name text) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  v_queue bigint;
begin
  select id into v_queue from regent.queues where name = p_name for update;
  if not found then
    return false;
  end if;
  perform from regent.partitions where queue_id = v_queue order by id for update;
  with gone as (delete from regent.partitions where queue_id = v_queue returning id)
  insert into regent.removals (partition_id, queue_id) select id, v_queue from gone order by id;
  delete from regent.groups where queue_id = v_queue;
  delete from regent.queues where id = v_queue;
  insert into regent.removals (queue_id) values (v_queue);
  return true;
end
$$;

-- Delete one partition row that the caller has locked for update, with its cursors: they stand in the index that pops
-- walk along. The caller also keeps new groups from getting a cursor for it: see regent.delete_partition_v1.
create or replace function regent.drop_partition(p_queue bigint, p_partition bigint) returns void
language plpgsql set enable_seqscan = off as $$
begin
  delete from regent.partitions where id = p_partition;
  perform from regent.cursors where partition_id = p_partition order by group_id for update;
  delete from regent.cursors where partition_id = p_partition;
  insert into regent.removals (partition_id, queue_id) values (p_partition, p_queue);
end
$$;

-- Delete a partition; whether there was one. Groups that are being made could give it a cursor after its cursors are
-- gone. So none begins (the queue row is shared, and a new group wants it alone), and whoever makes cursors for one now
-- (it holds the group's row) is waited for. The next push to the partition makes it anew.
create or replace function regent.delete_partition_v1(p_queue text, p_partition text) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  v_queue bigint;
  v_partition bigint;
begin
  select id into v_queue from regent.queues where name = p_queue for key share;
  if not found then
    return false;
  end if;
  perform from regent.groups where queue_id = v_queue and seeded_to is not null order by id for share;
  select id into v_partition from regent.partitions where queue_id = v_queue and name = p_partition for update;
  if not found then
    return false;
  end if;
  perform regent.drop_partition(v_queue, v_partition);
  return true;
end
$$;

-- Clear some of what was deleted: about p_limit rows. Returns how many went, 0 once nothing is left that nobody else is
-- at. Several may do this at once. Cursors go first: whoever holds one still writes attempts or dead letters, and is
-- waited for; afterwards nobody does. For the same reason a queue's dead letters come after all its partitions.
create or replace function regent.removal_step_v1(p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  r regent.removals;
  v_left int := p_limit;
  v_ids bigint[];
  v_end bigint;
  v_position bigint;
  n int;
begin
  for r in
    select * from regent.removals t
      where t.partition_id is not null or t.group_id is not null
        or not exists (select from regent.removals o where o.queue_id = t.queue_id and o.id < t.id)
      order by t.id limit p_limit for update skip locked
  loop
    exit when v_left = 0;
    v_end := r.done_to;
    if r.partition_id is not null then
      delete from regent.cursors where partition_id = r.partition_id;
      get diagnostics n = row_count;
      v_left := greatest(v_left - n, 0);
      v_end := coalesce((select max(s.first) from (
        select first from regent.segments where partition_id = r.partition_id and first > r.done_to order by first limit v_left) s), v_end);
      delete from regent.segments where partition_id = r.partition_id and first > r.done_to and first <= v_end;
      get diagnostics n = row_count;
      v_left := v_left - n;
      delete from regent.attempts where ctid = any(array(
        select ctid from regent.attempts where partition_id = r.partition_id limit v_left));
      get diagnostics n = row_count;
      v_left := v_left - n;
      delete from regent.tombstones where ctid = any(array(
        select ctid from regent.tombstones where partition_id = r.partition_id limit v_left));
      get diagnostics n = row_count;
      v_left := v_left - n;
      select count(*), max(t.position) into n, v_position
        from (select position from regent.traces where partition_id = r.partition_id order by position limit v_left) as t;
      perform regent.delete_traces(r.partition_id, 0, v_position);
      v_left := v_left - n;
    elsif r.group_id is not null then
      v_ids := array(select id from regent.partitions where queue_id = r.queue_id and id > r.done_to order by id limit v_left);
      delete from regent.cursors where partition_id = any(v_ids) and group_id = r.group_id;
      delete from regent.attempts where partition_id = any(v_ids) and group_id = r.group_id;
      v_left := v_left - cardinality(v_ids);
      v_end := coalesce(v_ids[cardinality(v_ids)], v_end);
    else
      delete from regent.dead_letters where id = any(array(
        select id from regent.dead_letters where queue_id = r.queue_id order by id limit v_left));
      get diagnostics n = row_count;
      v_left := v_left - n;
    end if;

    if v_left > 0 then
      -- There was less than there might have been: this one is done.
      delete from regent.removals where id = r.id;
      v_left := v_left - 1;
    else
      update regent.removals set done_to = v_end where id = r.id;
    end if;
  end loop;
  return p_limit - v_left;
end
$$;
