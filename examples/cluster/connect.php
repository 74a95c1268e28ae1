<?php
// A client that spreads keys over nodes by itself, and takes a dead node out of its ring.
// $servers are arrays of a host, a port and a weight.
function connect(array $servers): Memcached
{
    $client = new Memcached();
    // The ring of libmemcached with weights, and MD5.
    $client->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
    $client->setOption(Memcached::OPT_TCP_NODELAY, true);
    $client->setOption(Memcached::OPT_CONNECT_TIMEOUT, 1000); // ms
    $client->setOption(Memcached::OPT_POLL_TIMEOUT, 1000); // the wait for a reply; the default is 5 s
    $client->setOption(Memcached::OPT_RETRY_TIMEOUT, 1); // seconds until a node that failed is asked again
    // After two errors the node is out of the ring. It is tried again a second later.
    $client->setOption(Memcached::OPT_REMOVE_FAILED_SERVERS, true);
    $client->setOption(Memcached::OPT_SERVER_FAILURE_LIMIT, 2);
    $client->setOption(Memcached::OPT_DEAD_TIMEOUT, 1);
    $client->addServers($servers);
    return $client;
}
