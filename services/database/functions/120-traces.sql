-- Record a trace of a message, in the words of its consumer; its id, or null when there is no such message.
-- p_hash, p_id: as find_message_between takes them; p_transaction: the id itself. Looked for in what the group has leased
-- first, which is where the consumer that records it is working.
create or replace function regent.add_trace_v1(p_partition bigint, p_hash bigint, p_id text, p_transaction text, p_group text,
                                               p_event text, p_worker text, p_data text, p_names text[]) returns uuid
language plpgsql set enable_seqscan = off as $$
declare
  v_position bigint;
  v_trace uuid;
  v_at timestamptz;
begin
  select regent.find_message_between(p.id, greatest(p.tail, c.committed) + 1, c.lease_to, p_hash, p_id) into v_position
    from regent.partitions p
    join regent.groups g on g.queue_id = p.queue_id and g.name = p_group
    join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
    where p.id = p_partition and c.lease_id is not null;
  v_position := coalesce(v_position, regent.find_message_v1(p_partition, p_hash, p_id));
  insert into regent.traces (partition_id, position, transaction_id, queue, partition, consumer_group, event_type, worker_id, data, names)
    select p.id, v_position, p_transaction, q.name, p.name, p_group, p_event, p_worker, p_data, p_names
      from regent.partitions p join regent.queues q on q.id = p.queue_id
      where p.id = p_partition and v_position is not null
    returning id, created_at into v_trace, v_at;
  insert into regent.trace_names (name, created_at, trace_id, partition_id, position)
    select distinct n.name, v_at, v_trace, p_partition, v_position from unnest(p_names) as n(name) where v_trace is not null;
  return v_trace;
end
$$;

-- A page of the traces of a message, oldest first. At least one row: beyond the last page its id is null.
create or replace function regent.list_traces_v1(p_partition bigint, p_transaction text, p_limit int, p_offset int)
returns table (total bigint, id uuid, event_type text, data text, consumer_group text, worker_id text, created_at text, names text[])
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_column
begin
  return query
    select n.total, t.id, t.event_type, t.data, t.consumer_group, t.worker_id, regent.wire_millis(t.created_at), t.names
      from (select count(*) as total from regent.traces c where c.partition_id = p_partition and c.transaction_id = p_transaction) n
      left join (select * from regent.traces l where l.partition_id = p_partition and l.transaction_id = p_transaction
                   order by l.created_at, l.id limit p_limit offset p_offset) t on true
      order by t.created_at, t.id;
end
$$;

-- A page of the traces with a name, from one time to another, oldest first: a name tells the story of several messages.
-- line: the message, null when it is gone. At least one row: beyond the last page its id is null.
create or replace function regent.list_traces_by_name_v1(p_name text, p_from timestamptz, p_to timestamptz, p_limit int, p_offset int)
returns table (total bigint, id uuid, event_type text, data text, consumer_group text, worker_id text, created_at text, names text[],
               transaction_id text, partition_id bigint, "position" bigint, queue text, partition text, line text)
language plpgsql stable set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
  return query
    with matching as not materialized (
      select * from regent.trace_names m
        where m.name = p_name and (p_from is null or m.created_at >= p_from) and (p_to is null or m.created_at <= p_to)
    )
    select n.total, t.id, t.event_type, t.data, t.consumer_group, t.worker_id, regent.wire_millis(t.created_at), t.names,
           t.transaction_id, t.partition_id, t.position, t.queue, t.partition, regent.stored_line(t.partition_id, t.position)
      from (select count(*) as total from matching) n
      left join (
        (select * from matching m order by m.created_at, m.trace_id limit p_limit offset p_offset) l
        join regent.traces t on t.id = l.trace_id
      ) on true
      order by t.created_at, t.id;
end
$$;

-- A page of the names that traces have and that hold p_search, in any case; the one used last comes first. Reads every
-- use of every name. At least one row: beyond the last page its name is null.
create or replace function regent.list_trace_names_v1(p_search text, p_limit int, p_offset int)
returns table (total bigint, name text, traces bigint, messages bigint, last_seen text)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
  return query
    with counted as (
      -- In two steps: counting distinct pairs at once would sort them all.
      select m.name, sum(m.traces)::bigint as traces, count(*) as messages, max(m.last_at) as last_at
        from (
          select u.name, count(*) as traces, max(u.created_at) as last_at
            from regent.trace_names u
            where p_search is null or strpos(lower(u.name), lower(p_search)) > 0
            group by u.name, u.partition_id, u.position
        ) m
        group by m.name
    )
    select n.total, c.name, c.traces, c.messages, regent.wire_millis(c.last_at)
      from (select count(*) as total from counted) n
      left join (select * from counted l order by l.last_at desc, l.name limit p_limit offset p_offset) c on true
      order by c.last_at desc, c.name;
end
$$;

-- Delete the traces of the messages at the positions p_from .. p_to of a partition, for those who delete the messages.
-- One look into an index when there are none.
create or replace function regent.delete_traces(p_partition bigint, p_from bigint, p_to bigint) returns void
language plpgsql set enable_seqscan = off as $$
begin
  with gone as (
    delete from regent.traces t where t.partition_id = p_partition and t.position between p_from and p_to
      returning t.id, t.created_at, t.names
  )
  delete from regent.trace_names n using gone g
    where n.name = any(g.names) and n.created_at = g.created_at and n.trace_id = g.id;
end
$$;

-- Delete at most p_limit traces that are more than p_days days old; how many went. 0 days: they are kept.
create or replace function regent.expire_traces_v1(p_days int, p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  n int;
begin
  with gone as (
    delete from regent.traces where id = any(array(
      select t.id from regent.traces t
        where p_days > 0 and t.created_at < clock_timestamp() - make_interval(days => p_days)
        order by t.created_at limit p_limit for update skip locked))
      returning id, created_at, names
  ), names as (
    delete from regent.trace_names t using gone g
      where t.name = any(g.names) and t.created_at = g.created_at and t.trace_id = g.id
  )
  select count(*) into n from gone;
  return n;
end
$$;
