using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using MemcacheRs;

static class Test
{
    static readonly Dictionary<string, string> Small =
        new Dictionary<string, string> { ["memory_limit"] = "8m", ["threads"] = "1" };

    static void Check(bool holds)
    {
        if (!holds)
        {
            throw new Exception("a check failed");
        }
    }

    static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    static MemcacheException Failure(Action action)
    {
        try
        {
            action();
        }
        catch (MemcacheException failure)
        {
            return failure;
        }
        throw new Exception("threw nothing");
    }

    // The text protocol by hand, because Debian packages no client for .NET.
    sealed class Client : IDisposable
    {
        readonly TcpClient connection = new TcpClient();
        readonly StreamReader replies;

        internal Client(Server server)
        {
            connection.Connect(server.Address);
            replies = new StreamReader(connection.GetStream());
        }

        internal string Ask(string request)
        {
            var bytes = Bytes(request + "\r\n");
            connection.GetStream().Write(bytes, 0, bytes.Length);
            var reply = replies.ReadLine();
            while (reply.StartsWith("VALUE") && !reply.EndsWith("END"))
            {
                reply += " " + replies.ReadLine();
            }
            return reply;
        }

        public void Dispose() => connection.Close();
    }

    static void AValueComesBackAsItWasStored()
    {
        using (var cache = new Cache(Small))
        {
            foreach (var value in new[] { new byte[0], Bytes("Ada"), new byte[100_000] })
            {
                cache.Set("user", value, Cache.Never);
                Check(cache.Get("user").SequenceEqual(value));
            }
            Check(cache.Delete("user"));
            Check(!cache.Delete("user"));
            Check(cache.Get("user") == null);
            cache.Set("visits", Bytes("41"), Cache.Never);
            Check(cache.Incr("visits", 1) == 42);
        }
    }

    static void AnItemExpiresWithTheClockOfTheCache()
    {
        using (var cache = new Cache(Small))
        {
            cache.FreezeClock();
            cache.Set("session", Bytes("Ada"), TimeSpan.FromMinutes(1));
            cache.Advance(TimeSpan.FromSeconds(59));
            Check(cache.Get("session") != null);
            cache.Advance(TimeSpan.FromSeconds(1));
            Check(cache.Get("session") == null);
        }
    }

    static void ErrorsSayWhatIsWrong()
    {
        var cache = new Cache(Small);
        Check(Failure(() => cache.Get(new string('k', 251))).Message.Contains("250 bytes"));
        Check(Failure(() => cache.Set("large", new byte[2 << 20], Cache.Never)).Status == 20);
        var wrong = new Dictionary<string, string> { ["threads"] = "none" };
        Check(Failure(() => new Cache(wrong)).Message.Contains("threads"));
        cache.Dispose();
        try
        {
            cache.Get("key");
            Check(false);
        }
        catch (ObjectDisposedException)
        {
        }
    }

    static void AClientSeesTheClockOfTheServer()
    {
        using (var server = new Server(Small))
        using (var client = new Client(server))
        {
            server.Cache.FreezeClock();
            Check(client.Ask("set session 0 1800 3\r\nAda") == "STORED");
            Check(client.Ask("get session") == "VALUE session 0 3 Ada END");
            server.Cache.Advance(TimeSpan.FromMinutes(30));
            Check(client.Ask("get session") == "END");
        }
    }

    static void AClientMeetsFaults()
    {
        using (var server = new Server(Small))
        using (var client = new Client(server))
        {
            server.Cache.Set("session", Bytes("Ada"), Cache.Never);
            using (server.Cache.Inject(Fault.Miss, "get"))
            {
                Check(client.Ask("get session") == "END");
            }
            using (server.Cache.Inject(Fault.Error, "set", "out of order"))
            {
                Check(client.Ask("set session 0 0 3\r\nBob") == "SERVER_ERROR out of order");
            }
            Check(client.Ask("get session") == "VALUE session 0 3 Ada END");
        }
    }

    static void Main()
    {
        var tests = new Action[]
        {
            AValueComesBackAsItWasStored,
            AnItemExpiresWithTheClockOfTheCache,
            ErrorsSayWhatIsWrong,
            AClientSeesTheClockOfTheServer,
            AClientMeetsFaults,
        };
        foreach (var test in tests)
        {
            test();
        }
        Console.WriteLine($"{tests.Length} passed, 0 failed");
    }
}
