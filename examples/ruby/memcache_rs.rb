# memcached in the process: a cache, and servers for tests. Copy this file. It needs the gem ffi
# and libmemcache_rs.
require "ffi"

module MemcacheRs
  NEVER = 0

  # A call failed. +status+ is its number in the header.
  class Error < StandardError
    attr_reader :status

    def initialize(status, message)
      super(message)
      @status = status
    end
  end

  module Library
    extend FFI::Library
    ffi_lib "libmemcache_rs.so.1"

    OK, NOT_FOUND, BUFFER_TOO_SMALL = 0, 1, 5
    TCP_AUTO, TLS_OFF = 0, 0

    class Fault < FFI::Struct
      layout :kind, :uint32, :delay_ms, :uint32, :text, :pointer, :command, :pointer, :key, :pointer,
             :key_len, :size_t, :times, :uint64, :probability, :double, :after, :size_t, :reserved, :uint64
    end

    class Address < FFI::Struct
      layout :kind, :uint32, :port, :uint16, :host, :string
    end

    attach_function :mcrs_error_message, [], :string
    attach_function :mcrs_config_new, [:pointer], :int32
    attach_function :mcrs_config_set, %i[pointer string string], :int32
    attach_function :mcrs_config_listen_tcp, %i[pointer string uint16 uint32 uint32], :int32
    attach_function :mcrs_config_free, [:pointer], :void
    attach_function :mcrs_cache_new, %i[pointer pointer], :int32
    attach_function :mcrs_cache_free, [:pointer], :void, blocking: true
    attach_function :mcrs_cache_get, %i[pointer buffer_in size_t buffer_out size_t pointer], :int32
    attach_function :mcrs_cache_set, %i[pointer buffer_in size_t buffer_in size_t uint32], :int32
    attach_function :mcrs_cache_delete, %i[pointer buffer_in size_t], :int32
    attach_function :mcrs_cache_incr, %i[pointer buffer_in size_t uint64 pointer], :int32
    attach_function :mcrs_clock_freeze, [:pointer], :int32
    attach_function :mcrs_clock_advance, %i[pointer int64], :int32
    attach_function :mcrs_faults_add, %i[pointer pointer pointer], :int32
    attach_function :mcrs_faults_remove, %i[pointer uint64 pointer], :int32
    attach_function :mcrs_server_start, %i[pointer pointer], :int32
    attach_function :mcrs_server_cache, %i[pointer pointer], :int32
    attach_function :mcrs_server_address, %i[pointer size_t pointer], :int32
    attach_function :mcrs_server_free, [:pointer], :void, blocking: true

    # Calls a function, and raises unless it returns OK or a status that the caller expects.
    def self.call(name, *arguments, expect: [])
      status = public_send(name, *arguments)
      return status if status == OK || expect.include?(status)

      raise Error.new(status, mcrs_error_message.force_encoding(Encoding::UTF_8))
    end

    # Calls a function whose last argument receives a handle.
    def self.handle(name, *arguments)
      FFI::MemoryPointer.new(:pointer) { |out| call(name, *arguments, out); return out.read_pointer }
    end

    def self.config(settings)
      config = handle(:mcrs_config_new)
      settings.each { |name, value| call(:mcrs_config_set, config, name.to_s, value.to_s) }
      yield config
    ensure
      mcrs_config_free(config)
    end
  end

  # A cache. Any thread may use it until it is closed.
  class Cache
    # Creates a cache that no server serves. With a block, closes it afterwards.
    def self.open(**settings)
      cache = new(Library.config(settings) { |config| Library.handle(:mcrs_cache_new, config) })
      return cache unless block_given?

      begin
        yield cache
      ensure
        cache.close
      end
    end

    def initialize(handle)
      @handle = handle
    end

    # Frees the handle. Later calls raise an Error.
    def close
      Library.mcrs_cache_free(@handle)
      @handle = nil
    end

    # Returns the value of a key, or nil.
    def get(key)
      size = 512
      loop do
        buffer, length = FFI::Buffer.new(size), FFI::MemoryPointer.new(:size_t)
        status = Library.call(:mcrs_cache_get, @handle, key, key.bytesize, buffer, size, length,
                              expect: [Library::NOT_FOUND, Library::BUFFER_TOO_SMALL])
        return buffer.get_bytes(0, length.get(:size_t, 0)) if status == Library::OK
        return if status == Library::NOT_FOUND

        size = length.get(:size_t, 0)
      end
    end

    # Stores a value for a number of seconds.
    def set(key, value, ttl: NEVER)
      Library.call(:mcrs_cache_set, @handle, key, key.bytesize, value, value.bytesize, ttl.ceil)
      value
    end

    # Deletes an item, and returns whether there was one.
    def delete(key)
      Library.call(:mcrs_cache_delete, @handle, key, key.bytesize, expect: [Library::NOT_FOUND]) == Library::OK
    end

    # Adds to a decimal number, and returns the sum.
    def incr(key, delta = 1)
      sum = FFI::MemoryPointer.new(:uint64)
      Library.call(:mcrs_cache_incr, @handle, key, key.bytesize, delta, sum)
      sum.read_uint64
    end

    # Stops the cache's clock. +advance+ still moves it.
    def freeze_clock
      Library.call(:mcrs_clock_freeze, @handle)
    end

    # Moves the cache's clock by a number of seconds.
    def advance(seconds)
      Library.call(:mcrs_clock_advance, @handle, seconds)
    end

    FAULTS = { drop: 2, error: 3, miss: 4 }.freeze

    # Lets clients meet a fault on a command, as "get", while the block runs.
    def fault(kind, command: nil, text: nil)
      fault, id = Library::Fault.new, FFI::MemoryPointer.new(:uint64)
      texts = [command, text].map { |given| given && FFI::MemoryPointer.from_string(given) }
      fault[:kind] = FAULTS.fetch(kind)
      fault[:command], fault[:text] = texts
      Library.call(:mcrs_faults_add, @handle, fault, id)
      begin
        yield
      ensure
        Library.call(:mcrs_faults_remove, @handle, id.read_uint64, nil)
      end
    end
  end

  # A server with a cache of its own, at a free port of 127.0.0.1.
  class Server
    attr_reader :cache, :address

    # Starts a server. With a block, closes it afterwards.
    def self.open(**settings)
      server = new(settings)
      return server unless block_given?

      begin
        yield server
      ensure
        server.close
      end
    end

    def initialize(settings)
      @handle = Library.config(settings) do |config|
        Library.call(:mcrs_config_listen_tcp, config, nil, 0, Library::TCP_AUTO, Library::TLS_OFF)
        Library.handle(:mcrs_server_start, config)
      end
      @cache = Cache.new(Library.handle(:mcrs_server_cache, @handle))
      at = Library::Address.new
      Library.call(:mcrs_server_address, @handle, 0, at)
      @address = "#{at[:host]}:#{at[:port]}"
    end

    # Stops the server, and frees it and its cache.
    def close
      @cache.close
      Library.mcrs_server_free(@handle)
      @handle = nil
    end
  end
end
