package endorse_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/source"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// forecastCache holds one object in each state, and both of Intel's sets.
func forecastCache(t *testing.T) (*cache.Dir, time.Time) {
	t.Helper()
	v := newVendors(t)
	d, now := v.cache(t.TempDir()), attesttest.Epoch()
	ark := attesttest.New().Chain(t, attesttest.Genoa).ARK
	put := func(o source.Object, data []byte, fetched time.Time) {
		t.Helper()
		if err := d.Put(cacheEntry(o, data, fetched)); err != nil {
			t.Fatal(err)
		}
	}
	lists := map[string]time.Time{"Genoa": now.Add(-time.Hour), "Milan": now.AddDate(0, 0, -20), "Turin": now.AddDate(0, -2, 0)}
	for line, from := range lists {
		o, err := source.AMDCRL(line, false)
		if err != nil {
			t.Fatal(err)
		}
		put(o, crl(t, ark, 7, from), from)
	}
	vlek, _ := source.AMDCRL("Genoa", true)
	put(vlek, crl(t, ark, 7, now.AddDate(0, 0, 1)), now)
	put(source.IntelRootCRL(), []byte("damage"), now)
	rim, _ := source.RIM("NV_GPU_DRIVER_GH100_550.90.07")
	put(rim, []byte("<x/>"), now)
	for _, u := range []source.Update{source.Standard, source.Early} {
		status, number := "UpToDate", 19
		if u == source.Early {
			status, number = "OutOfDate", 20
		}
		_, end := attesttest.NewIntel().Make(t, attest.TDX, [64]byte{1}, attesttest.Platform(status), attesttest.EditInfo(func(i *attesttest.IntelTCBInfo) { i.Evaluation = number }))
		info, _, _ := end.Get(attest.LabelIntelTCBInfo)
		o, err := source.TCBInfo(source.TDX, [6]byte{0x90, 0xc0, 0x6f}, u)
		if err != nil {
			t.Fatal(err)
		}
		put(o, info, now)
	}
	return d, now
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s:\n%s", file, got)
	}
}

func TestForecast(t *testing.T) {
	d, now := forecastCache(t)
	f, err := endorse.Look(d, now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "forecast.json", append(text, '\n'))
	golden(t, "metrics.txt", []byte(f.Metrics()))
	states := map[endorse.State]int{}
	for i, it := range f.Items {
		states[it.State]++
		if i > 0 && !it.Until.IsZero() && it.Until.Before(f.Items[i-1].Until) {
			t.Errorf("%s stands after what ends later", it.What)
		}
	}
	for _, s := range []endorse.State{endorse.Fresh, endorse.Aging, endorse.Early, endorse.Expired, endorse.Damaged} {
		if states[s] == 0 {
			t.Errorf("nothing is %s", s)
		}
	}
	if len(f.Levels) == 0 || f.Levels[0].Status != "UpToDate" || f.Levels[0].Next != "OutOfDate" || f.Levels[0].NextNum != "20" {
		t.Errorf("levels %+v", f.Levels)
	}
}

// TestMetricsCannotBeForged: an object's text starts no line of its own.
func TestMetricsCannotBeForged(t *testing.T) {
	f := endorse.Forecast{
		Items:  []endorse.ForecastItem{{What: "a\"} 1\nforged 1\n", Host: `\`, Until: time.Unix(1, 0)}},
		Levels: []endorse.ForecastLevel{{Platform: "x", Status: "\"\n\xff"}},
	}
	text := f.Metrics()
	if strings.Contains(text, "\nforged") || !strings.Contains(text, `what="a\"} 1?forged 1?",host="\\"`) {
		t.Errorf("metrics:\n%s", text)
	}
}

func TestEmptyForecast(t *testing.T) {
	v := newVendors(t)
	f, err := endorse.Look(v.cache(t.TempDir()), v.Now())
	if err != nil || f.Items == nil || f.Levels == nil || len(f.Items) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}
