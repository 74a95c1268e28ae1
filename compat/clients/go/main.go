// Gomemcache.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

var count int

func check(what string, good bool) {
	if strings.Contains(";"+os.Getenv("LEFT_OUT")+";", ";"+what+";") {
		return
	}
	count++
	if !good {
		fmt.Println(what)
		os.Exit(1)
	}
}

func main() {
	client := memcache.New(os.Args[1] + ":" + os.Args[2])
	client.Timeout = 5 * time.Second
	item := func(key, value string) *memcache.Item {
		return &memcache.Item{Key: key, Value: []byte(value)}
	}
	value := func(key string) string {
		item, err := client.Get(key)
		if err != nil {
			return err.Error()
		}
		return string(item.Value)
	}

	check("set", client.Set(&memcache.Item{Key: "a", Value: []byte("one"), Flags: 9}) == nil)
	got, err := client.Get("a")
	check("get", err == nil && string(got.Value) == "one" && got.Flags == 9)
	check("get of nothing", value("nothing") == memcache.ErrCacheMiss.Error())
	check("add", client.Add(item("a", "x")) == memcache.ErrNotStored)
	check("add of something new", client.Add(item("b", "2")) == nil)
	many, err := client.GetMulti([]string{"a", "none", "b"})
	check("get many", err == nil && len(many) == 2 && string(many["b"].Value) == "2")
	got, err = client.Get("a")
	check("get before cas", err == nil)
	got.Value = []byte("two")
	check("cas", client.CompareAndSwap(got) == nil && value("a") == "two")
	check("an old cas", client.CompareAndSwap(got) == memcache.ErrCASConflict)
	check("set a number", client.Set(item("n", "10")) == nil)
	number, err := client.Increment("n", 5)
	check("incr", err == nil && number == 15)
	number, err = client.Decrement("n", 20)
	check("decr", err == nil && number == 0)
	_, err = client.Increment("nothing", 1)
	check("incr of nothing", err == memcache.ErrCacheMiss)
	check("set with a time", client.Set(&memcache.Item{Key: "short", Value: []byte("x"), Expiration: 1}) == nil)
	for try := 0; try < 50 && value("short") == "x"; try++ {
		time.Sleep(100 * time.Millisecond)
	}
	check("it expires", value("short") == memcache.ErrCacheMiss.Error())
	check("delete", client.Delete("a") == nil)
	check("delete of nothing", client.Delete("a") == memcache.ErrCacheMiss)
	large := bytes.Repeat([]byte("0123456789abcdef"), 32768)
	check("large set", client.Set(&memcache.Item{Key: "large", Value: large}) == nil)
	check("large get", value("large") == string(large))
	check("delete all", client.DeleteAll() == nil)
	check("get after flush", value("large") == memcache.ErrCacheMiss.Error())
	fmt.Printf("%d checks\n", count)
}
