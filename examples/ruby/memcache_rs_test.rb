require "minitest/autorun"
require "dalli"
require_relative "memcache_rs"

SMALL = { memory_limit: "8m", threads: 1 }.freeze

class CacheTest < Minitest::Test
  def test_a_value_comes_back_as_it_was_stored
    MemcacheRs::Cache.open(**SMALL) do |cache|
      ["", "Ada", "\xFF\x00".b * 50_000].each do |value|
        cache.set("user", value)
        assert_equal value.b, cache.get("user")
      end
      assert cache.delete("user")
      refute cache.delete("user")
      assert_nil cache.get("user")
      cache.set("visits", "41")
      assert_equal 42, cache.incr("visits")
    end
  end

  def test_an_item_expires_with_the_clock_of_the_cache
    MemcacheRs::Cache.open(**SMALL) do |cache|
      cache.freeze_clock
      cache.set("session", "Ada", ttl: 60)
      cache.advance(59)
      assert_equal "Ada", cache.get("session")
      cache.advance(1)
      assert_nil cache.get("session")
    end
  end

  def test_errors_say_what_is_wrong
    MemcacheRs::Cache.open(**SMALL) do |cache|
      assert_match(/250 bytes/, assert_raises(MemcacheRs::Error) { cache.set("k" * 251, "") }.message)
      assert_equal 20, assert_raises(MemcacheRs::Error) { cache.set("large", "v" * (2 << 20)) }.status
    end
    assert_match(/threads/, assert_raises(MemcacheRs::Error) { MemcacheRs::Cache.open(threads: "none") }.message)
    closed = MemcacheRs::Cache.open(**SMALL).tap(&:close)
    assert_match(/NULL/, assert_raises(MemcacheRs::Error) { closed.get("key") }.message)
  end
end

class ServerTest < Minitest::Test
  def setup
    @server = MemcacheRs::Server.open(**SMALL)
    @client = Dalli::Client.new(@server.address, raw: true)
  end

  def teardown
    @client.close
    @server.close
  end

  def test_a_client_sees_the_clock_of_the_server
    @server.cache.freeze_clock
    @client.set("session", "Ada", 1800)
    assert_equal "Ada", @client.get("session")
    @server.cache.advance(1800)
    assert_nil @client.get("session")
  end

  def test_a_client_meets_faults
    @server.cache.set("session", "Ada")
    @server.cache.fault(:miss, command: "get") { assert_nil @client.get("session") }
    @server.cache.fault(:error, command: "set", text: "out of order") do
      assert_raises(Dalli::DalliError) { @client.set("session", "Bob") }
    end
    assert_equal "Ada", @client.get("session")
  end
end
