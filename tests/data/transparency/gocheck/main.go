// Gocheck verifies a tiled log in a directory with golang.org/x/mod/sumdb, code that shares nothing with ours.
//
// Usage: gocheck DIRECTORY LOG_VKEY < proofs.json
//
// It opens the checkpoint, recomputes the root from tiles and from entries, and for every proof on standard input
// checks that it verifies and is byte for byte the proof that x/mod builds from the same tiles.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proofs struct {
	Inclusion []struct {
		Index, Size int64
		Proof       [][]byte
	}
	Consistency []struct {
		Old, New         int64
		OldRoot, NewRoot []byte
		Proof            [][]byte
	}
}

type directory struct{ root string }

func (d directory) Height() int { return 8 }

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(d.root, path))
		if err != nil {
			full := t
			full.W = 256
			path = strings.Replace(full.Path(), "tile/8/", "tile/", 1)
			if data, err = os.ReadFile(filepath.Join(d.root, path)); err != nil {
				return nil, err
			}
			data = data[:t.W*tlog.HashSize]
		}
		all = append(all, data)
	}
	return all, nil
}

func main() {
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(root, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	message, err := os.ReadFile(filepath.Join(root, "checkpoint"))
	if err != nil {
		return err
	}
	signed, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	tree, err := parseCheckpoint(signed.Text)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, directory{root})
	if tree.N > 0 {
		hash, err := tlog.TreeHash(tree.N, reader)
		if err != nil || hash != tree.Hash {
			return fmt.Errorf("root from tiles: %v, %v", hash, err)
		}
	}
	leaves, err := readEntries(root, tree.N)
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil || hashes[0] != tlog.RecordHash(leaf) {
			return fmt.Errorf("entry %d does not hash to its tile: %v", i, err)
		}
	}
	inclusion, consistency, err := checkProofs(reader, leaves)
	if err != nil {
		return err
	}
	fmt.Printf("ok size=%d inclusion=%d consistency=%d unverified=%d\n", tree.N, inclusion, consistency, len(signed.UnverifiedSigs))
	return nil
}

func parseCheckpoint(text string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("checkpoint of %d lines", len(lines))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: hash}, err
}

func readEntries(root string, size int64) ([][]byte, error) {
	var leaves [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := min(256, size-n*256)
		tile := tlog.Tile{H: 8, L: 0, N: n, W: int(width)}
		data, err := os.ReadFile(filepath.Join(root, strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			leaves = append(leaves, data[2:2+length])
			data = data[2+length:]
		}
	}
	if int64(len(leaves)) != size {
		return nil, fmt.Errorf("%d entries, expected %d", len(leaves), size)
	}
	return leaves, nil
}

func checkProofs(reader tlog.HashReader, leaves [][]byte) (int, int, error) {
	var given proofs
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return 0, 0, err
	}
	for _, p := range given.Inclusion {
		want, err := tlog.ProveRecord(p.Size, p.Index, reader)
		if err != nil || !same(hashes(p.Proof), want) {
			return 0, 0, fmt.Errorf("inclusion of %d in %d differs from x/mod's: %v", p.Index, p.Size, err)
		}
		root, err := tlog.TreeHash(p.Size, reader)
		if err != nil {
			return 0, 0, err
		}
		if err := tlog.CheckRecord(hashes(p.Proof), p.Size, root, p.Index, tlog.RecordHash(leaves[p.Index])); err != nil {
			return 0, 0, fmt.Errorf("inclusion of %d in %d: %v", p.Index, p.Size, err)
		}
	}
	for _, p := range given.Consistency {
		want, err := tlog.ProveTree(p.New, p.Old, reader)
		if err != nil || !same(hashes(p.Proof), want) {
			return 0, 0, fmt.Errorf("consistency of %d and %d differs from x/mod's: %v", p.Old, p.New, err)
		}
		var old, new tlog.Hash
		copy(old[:], p.OldRoot)
		copy(new[:], p.NewRoot)
		if err := tlog.CheckTree(hashes(p.Proof), p.New, new, p.Old, old); err != nil {
			return 0, 0, fmt.Errorf("consistency of %d and %d: %v", p.Old, p.New, err)
		}
	}
	return len(given.Inclusion), len(given.Consistency), nil
}

func hashes(data [][]byte) []tlog.Hash {
	list := make([]tlog.Hash, len(data))
	for i, d := range data {
		copy(list[i][:], d)
	}
	return list
}

func same(a, b []tlog.Hash) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i][:], b[i][:]) {
			return false
		}
	}
	return true
}
