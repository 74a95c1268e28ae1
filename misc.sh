D=/work/wt/rest/target/debug/memcached-rs
echo "== 1 -k"; ( ulimit -l unlimited; timeout 5 $D -u root -m 64 -k -p 21311 -l 127.0.0.1 & pid=$!; sleep 1.5; grep -E 'VmLck|VmRSS' /proc/$(pgrep -P $pid memcached-rs || echo $pid)/status; s=$(date +%s%N); kill -TERM $pid; wait $pid; echo rc $?  $((($(date +%s%N)-s)/1000000))ms )
echo "== 2 -c"; ( ulimit -n 256; timeout 5 $D -c 4096 -u root -p 21312 -l 127.0.0.1 & pid=$!; sleep 1; printf 'stats\r\nquit\r\n' | timeout 2 nc 127.0.0.1 21312 | grep max_conn; kill $pid; wait $pid; echo rc $? )
( ulimit -Hn 256; timeout 3 setpriv --reuid=65534 --clear-groups $D -c 4096 -p 21313 -l 127.0.0.1; echo rc $? )
echo "== 3 debugtime"; timeout 20 $D -u root -p 21314 -l 127.0.0.1 -o debug_commands & pid=$!; sleep .5
printf 'set a 0 100 1\r\nx\r\ndebugtime -86400\r\ndebugtime +86400\r\nget a\r\ndebugtime +50\r\nget a\r\ndebugtime +51\r\nget a\r\nquit\r\n' | timeout 3 nc 127.0.0.1 21314; kill $pid; wait $pid
echo "== 5 reassign"; timeout 20 $D -u root -p 21315 -l 127.0.0.1 & pid=$!; sleep .5
printf 'set a 0 100 1\r\nx\r\nslabs reassign 1 2\r\nslabs reassign -1 2\r\nslabs reassign 1 1\r\nslabs reassign 99 1\r\nstats cachedump 1 10\r\nquit\r\n' | timeout 3 nc 127.0.0.1 21315; kill $pid; wait $pid
echo "== 7"; $D -V; $D -h | head -3; timeout 2 $D -u root -p -1 -l 127.0.0.1; timeout 1 $D stats -u root -p -1
echo "== 8 idle"; timeout 8 strace -f -c -o /tmp/b/st.txt $D -u root -p -1 -l 127.0.0.1 2>/dev/null; head -12 /tmp/b/st.txt
echo "== full log"; timeout 6 $D -u root -p 21316 -l 127.0.0.1 2>/dev/full & pid=$!; sleep .5
for i in 1 2 3 4 5; do printf 'verbosity 2\r\nset a 0 0 1\r\nx\r\nget a\r\nquit\r\n' | timeout 2 nc 127.0.0.1 21316 | tr '\r\n' '  '; done; kill -HUP $pid; sleep .2; kill -TERM $pid; wait $pid; echo rc $?
echo "== -u ''"; timeout 2 $D -u '' -p -1; echo rc $?
echo "== absurd m"; timeout 5 $D -u root -m 99999999999 -p -1; echo rc $?; timeout 5 $D -u root -m 9999999999999999999 -p -1; echo rc $?
