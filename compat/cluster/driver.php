<?php
// Carries out lines `get KEY` and `set KEY` through the extension memcached, for clients.py.
// Arguments: the nodes as host:port:weight.
require __DIR__ . '/../../examples/cluster/connect.php';

$client = connect(array_map(fn ($node) => explode(':', $node), array_slice($argv, 1)));
while (($line = fgets(STDIN)) !== false) {
    [$command, $key] = explode(' ', trim($line));
    if ($command === 'set') {
        $reply = $client->set($key, $key) ? 'stored' : 'failed ' . $client->getResultMessage();
    } else {
        $value = $client->get($key);
        $missing = $client->getResultCode() === Memcached::RES_NOTFOUND;
        $reply = $value !== false ? "value $value" : ($missing ? 'miss' : 'failed ' . $client->getResultMessage());
    }
    echo $reply, "\n";
}
