// memcached in the process: a cache, and servers for tests. Copy this file. It needs libmemcache_rs.
using System;
using System.Collections.Generic;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;

namespace MemcacheRs
{
    /// <summary>Reports that a call failed.</summary>
    public sealed class MemcacheException : Exception
    {
        /// <summary>The status of the header.</summary>
        public int Status { get; }

        internal MemcacheException(int status, string message) : base(message) => Status = status;
    }

    /// <summary>What clients meet.</summary>
    public enum Fault : uint
    {
        Drop = 2,
        Error = 3,
        Miss = 4,
    }

    /// <summary>A cache. Any thread may use it until it is disposed.</summary>
    public sealed class Cache : IDisposable
    {
        /// <summary>Lets an item live until it is deleted, evicted or flushed.</summary>
        public static readonly TimeSpan Never = TimeSpan.Zero;

        readonly CacheHandle handle;

        internal Cache(CacheHandle handle) => this.handle = handle;

        /// <summary>Creates a cache that no server serves.</summary>
        /// <param name="settings">Names and values of docs/settings.md.</param>
        public Cache(IDictionary<string, string> settings)
        {
            using (var config = Native.Config(settings))
            {
                Native.Check(Native.mcrs_cache_new(config, out handle));
            }
        }

        /// <summary>Frees the handle. Later calls throw ObjectDisposedException.</summary>
        public void Dispose() => handle.Dispose();

        /// <summary>Returns the value of a key, or null.</summary>
        public byte[] Get(string key)
        {
            var k = Encoding.UTF8.GetBytes(key);
            var buffer = new byte[512];
            while (true)
            {
                var status = Native.mcrs_cache_get(
                    handle, k, Native.Length(k), buffer, Native.Length(buffer), out var length);
                switch (status)
                {
                    case Native.NotFound:
                        return null;
                    case Native.BufferTooSmall:
                        buffer = new byte[(int)length];
                        break;
                    default:
                        Native.Check(status);
                        Array.Resize(ref buffer, (int)length);
                        return buffer;
                }
            }
        }

        /// <summary>Stores a value for a time, which is rounded up to seconds, or Never.</summary>
        public void Set(string key, byte[] value, TimeSpan ttl)
        {
            var k = Encoding.UTF8.GetBytes(key);
            var seconds = Math.Ceiling(ttl.TotalSeconds);
            if (seconds < 0 || seconds > uint.MaxValue)
            {
                throw new ArgumentOutOfRangeException(nameof(ttl), ttl, "ttl must be from 0 to 100 years");
            }
            Native.Check(Native.mcrs_cache_set(
                handle, k, Native.Length(k), value, Native.Length(value), (uint)seconds));
        }

        /// <summary>Deletes an item, and returns whether there was one.</summary>
        public bool Delete(string key)
        {
            var k = Encoding.UTF8.GetBytes(key);
            var status = Native.mcrs_cache_delete(handle, k, Native.Length(k));
            return status != Native.NotFound && Native.Check(status);
        }

        /// <summary>Adds to a decimal number, and returns the sum.</summary>
        public ulong Incr(string key, ulong delta)
        {
            var k = Encoding.UTF8.GetBytes(key);
            Native.Check(Native.mcrs_cache_incr(handle, k, Native.Length(k), delta, out var sum));
            return sum;
        }

        /// <summary>Stops the cache's clock. Advance still moves it.</summary>
        public void FreezeClock() => Native.Check(Native.mcrs_clock_freeze(handle));

        /// <summary>Moves the cache's clock by whole seconds.</summary>
        public void Advance(TimeSpan by) => Native.Check(Native.mcrs_clock_advance(handle, (long)by.TotalSeconds));

        /// <summary>Lets clients meet a fault on a command, as "get", until the result is disposed.</summary>
        public IDisposable Inject(Fault kind, string command, string text = "injected")
        {
            var fault = new Native.FaultStruct { Kind = kind, Command = command, Text = text };
            Native.Check(Native.mcrs_faults_add(handle, ref fault, out var id));
            return new Injected(handle, id);
        }

        sealed class Injected : IDisposable
        {
            readonly CacheHandle cache;
            readonly ulong id;

            internal Injected(CacheHandle cache, ulong id)
            {
                this.cache = cache;
                this.id = id;
            }

            public void Dispose() => Native.mcrs_faults_remove(cache, id, out _);
        }
    }

    /// <summary>A server with a cache of its own, at a free port of 127.0.0.1.</summary>
    public sealed class Server : IDisposable
    {
        readonly ServerHandle handle;

        public Cache Cache { get; }

        public IPEndPoint Address { get; }

        /// <summary>Starts a server.</summary>
        /// <param name="settings">Names and values of docs/settings.md.</param>
        public Server(IDictionary<string, string> settings)
        {
            using (var config = Native.Config(settings))
            {
                Native.Check(Native.mcrs_config_listen_tcp(config, null, 0, 0, 0));
                Native.Check(Native.mcrs_server_start(config, out handle));
            }
            Native.Check(Native.mcrs_server_cache(handle, out var cache));
            Cache = new Cache(cache);
            Native.Check(Native.mcrs_server_address(handle, UIntPtr.Zero, out var address));
            Address = new IPEndPoint(IPAddress.Parse(Native.Text(address.Host)), address.Port);
        }

        /// <summary>Stops the server, and frees it and its cache.</summary>
        public void Dispose()
        {
            Cache.Dispose();
            handle.Dispose();
        }
    }

    // A SafeHandle is freed once, and not while a call uses it.
    abstract class Handle : SafeHandle
    {
        protected Handle() : base(IntPtr.Zero, true)
        {
        }

        public override bool IsInvalid => handle == IntPtr.Zero;
    }

    sealed class ConfigHandle : Handle
    {
        protected override bool ReleaseHandle()
        {
            Native.mcrs_config_free(handle);
            return true;
        }
    }

    sealed class CacheHandle : Handle
    {
        protected override bool ReleaseHandle()
        {
            Native.mcrs_cache_free(handle);
            return true;
        }
    }

    sealed class ServerHandle : Handle
    {
        protected override bool ReleaseHandle()
        {
            Native.mcrs_server_free(handle);
            return true;
        }
    }

    static class Native
    {
        const string Library = "libmemcache_rs.so.1";
        const int Ok = 0;
        internal const int NotFound = 1;
        internal const int BufferTooSmall = 5;

        internal static bool Check(int status) =>
            status == Ok ? true : throw new MemcacheException(status, Text(mcrs_error_message()));

        internal static UIntPtr Length(byte[] bytes) => (UIntPtr)bytes.Length;

        internal static string Text(IntPtr text)
        {
            var length = 0;
            while (Marshal.ReadByte(text, length) != 0)
            {
                length++;
            }
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }

        internal static ConfigHandle Config(IDictionary<string, string> settings)
        {
            Check(mcrs_config_new(out var config));
            try
            {
                foreach (var setting in settings)
                {
                    Check(mcrs_config_set(config, setting.Key, setting.Value));
                }
            }
            catch
            {
                config.Dispose();
                throw;
            }
            return config;
        }

        [StructLayout(LayoutKind.Sequential)]
        internal struct FaultStruct
        {
            internal Fault Kind;
            internal uint DelayMs;
            internal string Text;
            internal string Command;
            internal IntPtr Key;
            internal UIntPtr KeyLength;
            internal ulong Times;
            internal double Probability;
            internal UIntPtr After;
            internal ulong Reserved;
        }

        [StructLayout(LayoutKind.Sequential)]
        internal struct AddressStruct
        {
            internal uint Kind;
            internal ushort Port;
            internal IntPtr Host;
        }

        [DllImport(Library)]
        static extern IntPtr mcrs_error_message();

        [DllImport(Library)]
        static extern int mcrs_config_new(out ConfigHandle config);

        [DllImport(Library)]
        static extern int mcrs_config_set(ConfigHandle config, string name, string value);

        [DllImport(Library)]
        internal static extern int mcrs_config_listen_tcp(
            ConfigHandle config, string host, ushort port, uint protocol, uint tls);

        [DllImport(Library)]
        internal static extern void mcrs_config_free(IntPtr config);

        [DllImport(Library)]
        internal static extern int mcrs_cache_new(ConfigHandle config, out CacheHandle cache);

        [DllImport(Library)]
        internal static extern void mcrs_cache_free(IntPtr cache);

        [DllImport(Library)]
        internal static extern int mcrs_cache_get(
            CacheHandle cache, byte[] key, UIntPtr keyLength, [Out] byte[] buffer, UIntPtr size, out UIntPtr length);

        [DllImport(Library)]
        internal static extern int mcrs_cache_set(
            CacheHandle cache, byte[] key, UIntPtr keyLength, byte[] value, UIntPtr length, uint ttl);

        [DllImport(Library)]
        internal static extern int mcrs_cache_delete(CacheHandle cache, byte[] key, UIntPtr keyLength);

        [DllImport(Library)]
        internal static extern int mcrs_cache_incr(
            CacheHandle cache, byte[] key, UIntPtr keyLength, ulong delta, out ulong sum);

        [DllImport(Library)]
        internal static extern int mcrs_clock_freeze(CacheHandle cache);

        [DllImport(Library)]
        internal static extern int mcrs_clock_advance(CacheHandle cache, long seconds);

        [DllImport(Library)]
        internal static extern int mcrs_faults_add(CacheHandle cache, ref FaultStruct fault, out ulong id);

        [DllImport(Library)]
        internal static extern int mcrs_faults_remove(CacheHandle cache, ulong id, out ulong applied);

        [DllImport(Library)]
        internal static extern int mcrs_server_start(ConfigHandle config, out ServerHandle server);

        [DllImport(Library)]
        internal static extern int mcrs_server_cache(ServerHandle server, out CacheHandle cache);

        [DllImport(Library)]
        internal static extern int mcrs_server_address(ServerHandle server, UIntPtr index, out AddressStruct address);

        [DllImport(Library)]
        internal static extern void mcrs_server_free(IntPtr server);
    }
}
