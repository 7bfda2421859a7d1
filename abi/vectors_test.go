package abi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors.json")

const vectorsFile = "testdata/vectors.json"

// vectors are the golden bytes that SDKs in other languages test against: every
// field of each structure has a value of its own, so that a wrong offset shows.
type vectors struct {
	Events    []eventVector    `json:"events"`
	Decisions []decisionVector `json:"decisions"`
	Rejected  []rejectedVector `json:"rejected"`
	Hashes    []hashVector     `json:"name_hashes"`
	Windows   []windowVector   `json:"windows"`
}

type eventVector struct {
	Event Event  `json:"event"`
	Hex   string `json:"hex"`
}

type decisionVector struct {
	Decision Decision `json:"decision"`
	Hex      string   `json:"hex"`
}

type rejectedVector struct {
	Decision Decision   `json:"decision"`
	Code     RejectCode `json:"code"`
	Hex      string     `json:"hex"`
}

type hashVector struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

type windowVector struct {
	Payload  int `json:"payload"`
	Size     int `json:"size"`
	Decision int `json:"decisions_at"`
}

func makeVectors() vectors {
	var v vectors
	// Field i holds i in its highest byte and i+100 in its lowest.
	var distinct Event
	rv := reflect.ValueOf(&distinct).Elem()
	for i := range rv.NumField() {
		f := rv.Field(i)
		f.SetUint(uint64(i+1)<<(f.Type().Bits()-8) | uint64(i+101))
	}
	plain := Event{Kind: Need, Flags: FlagReadOnly, Component: 2, Parent: None, NameHash: NameHash("transformer"), Request: 1,
		Step: 3, Seq: 17, Time: 1_500_000_000, Bytes: 23802675200, Resident: 33554432, Free: 1 << 20,
		Budget: 24 << 30, Workspace: 1 << 30, LoadCost: 952_000_000, Amount: 12345678}
	for _, e := range []Event{{Kind: Idle, Component: None, Parent: None}, plain, distinct} {
		b := make([]byte, EventSize)
		PutEvent(b, &e)
		v.Events = append(v.Events, eventVector{e, hex.EncodeToString(b)})
	}
	ds := []Decision{
		{Op: Evict, Component: 0, Arg: 0},
		{Op: Prefetch, Reason: 7, Component: 4095, Arg: 1 << 40},
		{Op: Retain, Reason: 65535, Component: 0x01020304, Arg: 0x0102030405060708},
	}
	for i, d := range ds {
		b := make([]byte, DecisionSize)
		PutDecision(b, d)
		v.Decisions = append(v.Decisions, decisionVector{d, hex.EncodeToString(b)})
		r := make([]byte, RejectedSize)
		PutRejected(r, d, RejectCode(i+1))
		v.Rejected = append(v.Rejected, rejectedVector{d, RejectCode(i + 1), hex.EncodeToString(r)})
	}
	for _, n := range []string{"", "vae", "text_encoder_2", "größe"} {
		b := []byte{}
		h := NameHash(n)
		for i := 7; i >= 0; i-- {
			b = append(b, byte(h>>(8*i)))
		}
		v.Hashes = append(v.Hashes, hashVector{n, hex.EncodeToString(b)})
	}
	for _, p := range []int{0, MinPayload, MinPayload + 1, MaxPayload} {
		w := WindowSize(p)
		v.Windows = append(v.Windows, windowVector{p, w, w - DecisionArea})
	}
	return v
}

func TestGoldenVectors(t *testing.T) {
	got, err := json.MarshalIndent(makeVectors(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(vectorsFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the wire layout differs from testdata/vectors.json: a change of version 1 breaks every policy there is")
	}
	var v vectors
	if err := json.Unmarshal(want, &v); err != nil {
		t.Fatal(err)
	}
	for _, x := range v.Events {
		b, err := hex.DecodeString(x.Hex)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := GetEvent(append(b, 0xff))
		if !ok || e != x.Event {
			t.Errorf("GetEvent(%s) = %+v, want %+v", x.Hex, e, x.Event)
		}
	}
	for _, x := range v.Decisions {
		b, err := hex.DecodeString(x.Hex)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := AppendDecisions(nil, b, 1)
		if err != nil || ds[0] != x.Decision {
			t.Errorf("AppendDecisions(%s) = %+v, %v, want %+v", x.Hex, ds, err, x.Decision)
		}
	}
}

func TestAnAnswerThatCannotBeReadIsAnError(t *testing.T) {
	area := make([]byte, DecisionArea)
	for _, n := range []int{-1, MaxDecisions + 1, 1 << 30} {
		if _, err := AppendDecisions(nil, area, n); err == nil {
			t.Errorf("%d decisions: no error", n)
		}
	}
	if _, err := AppendDecisions(nil, area[:15], 1); err == nil {
		t.Error("a decision of 15 bytes: no error")
	}
	if _, ok := GetEvent(make([]byte, EventSize-1)); ok {
		t.Error("an event of 127 bytes was read")
	}
}

func FuzzAppendDecisions(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0}, 1)
	f.Add([]byte{}, -1)
	f.Fuzz(func(t *testing.T, area []byte, n int) {
		ds, err := AppendDecisions(nil, area, n)
		if err != nil {
			return
		}
		back := make([]byte, len(ds)*DecisionSize)
		for i, d := range ds {
			PutDecision(back[i*DecisionSize:], d)
		}
		if !bytes.Equal(back, area[:len(back)]) {
			t.Fatalf("%x reads as %+v and writes as %x", area, ds, back)
		}
	})
}
