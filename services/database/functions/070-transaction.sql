-- Pushes and acknowledgements, whole or not at all; the arguments are those of push_v2 and ack_v1. Pushes come first:
-- partitions are always locked before cursors. Anything that does not succeed raises, which undoes the rest:
--   RG001  a push could not be taken as it was asked for (DETAIL: the rows of push_v2); the caller looks again
--   RG002  an acknowledgement failed (DETAIL: the rows of ack_v1)
drop function if exists regent.transaction_v1(bigint[], bigint[], int[], int[], int[], bigint[], text,
  bigint[], text[], text[], int[], bigint[], bigint[], int[], bigint[], text[], text);
create or replace function regent.transaction_v2(
  p_limited bigint[], p_adds int[], p_partitions bigint[], p_versions int[], p_known bigint[], p_windows int[], p_segments int[], p_counts int[],
  p_tx bigint[], p_bodies text,
  p_ack_partitions bigint[], p_groups text[], p_leases text[], p_ranges int[], p_from bigint[], p_to bigint[],
  p_others int[], p_positions bigint[], p_kinds text[], p_errors text)
returns table (pushed json, acknowledged json)
language plpgsql set enable_seqscan = off as $$
begin
  pushed := coalesce((
    select json_agg(r order by r.idx)
      from regent.push_v2(p_limited, p_adds, p_partitions, p_versions, p_known, p_windows, p_segments, p_counts, p_tx, p_bodies) r), '[]');
  if exists (select from json_array_elements(pushed) e where e ->> 'outcome' <> 'ok') then
    raise exception 'push not taken' using errcode = 'RG001', detail = pushed::text;
  end if;
  acknowledged := coalesce((
    select json_agg(r order by r.unit)
      from regent.ack_v1(p_ack_partitions, p_groups, p_leases, p_ranges, p_from, p_to, p_others, p_positions, p_kinds, p_errors) r), '[]');
  if exists (
    select from json_array_elements(acknowledged) e
      where not (e ->> 'known')::boolean or not (e ->> 'lease_ok')::boolean or (e ->> 'outcomes') ~ '[lan]'
  ) or exists (
    -- What has been acknowledged before is refused here: else a transaction that is repeated would push again.
    select from unnest(p_from, p_to) with ordinality as t(first, position, ord)
      join (select n.unit, generate_series(sum(n.ranges) over (order by n.unit) - n.ranges + 1, sum(n.ranges) over (order by n.unit)) as ord
              from unnest(p_ranges) with ordinality as n(ranges, unit)) as owner on owner.ord = t.ord
      join json_array_elements(acknowledged) e on (e ->> 'unit')::int = owner.unit
      where t.position > (e ->> 'last_position')::bigint or t.first <= (e ->> 'committed')::bigint
        or coalesce((e ->> 'acked')::int8multirange && int8range(t.first, t.position, '[]'), false)
  ) then
    raise exception 'acknowledgement refused' using errcode = 'RG002', detail = acknowledged::text;
  end if;
  return next;
end
$$;
