package meter

// control reads and writes the instructions that end, join or leave regions.
func (w *body) control(op byte) {
	if op != opEnd && op != opElse && op < opCall {
		w.controls++
		w.blocks++
	}
	switch op {
	case opUnreachable:
		w.count(costPlain)
		w.instr(op)
		w.die()
	case opBlock, opLoop, opIf:
		w.enter(op)
	case opElse:
		f := &w.frames[len(w.frames)-1]
		if f.op != opIf {
			w.fail(ErrMalformed, "else without if")
			return
		}
		w.closeRegion()
		w.before = f.before.holder()
		f.op = opElse
		w.dead = f.deadBefore
		w.height = f.height
		w.push(f.params)
		w.instr(op)
	case opEnd:
		w.leave()
	case opBr:
		w.count(costJump)
		w.instrU(op, w.label())
		w.die()
	case opBrIf:
		w.count(costPlain)
		w.pop(1)
		i := w.label()
		w.instrU(op, i)
		w.closeRegion()
		if w.err == nil && w.frames[len(w.frames)-1-int(i)].op == opLoop {
			w.before = nil // paid once at the loop's end, not in each round
		}
	case opBrTable:
		w.count(costSwitch)
		n := w.reader.count("branch labels", 1, maxLabels)
		w.instrU(op, uint32(n))
		w.work += n * workLabel
		for range n + 1 {
			i := w.label()
			if w.err != nil {
				return
			}
			w.frames[len(w.frames)-1-int(i)].switchedTo = true
			w.out = appendU(w.out, uint64(i))
		}
		w.die()
	case opReturn:
		w.count(costJump)
		w.frames[0].branchedTo = true
		w.instrU(opBr, uint32(len(w.frames)-1))
		w.die()
	case opCall:
		i := int(w.index("function", len(w.m.funcs)))
		if w.err != nil {
			return
		}
		cost := costPlain
		if i < len(w.m.Imports) {
			cost = costExit
		}
		w.call(op, w.m.types[w.m.funcs[i]], cost)
		w.out = appendU(w.out, uint64(i))
		w.loadFuel()
	case opCallIndirect:
		t := w.m.typeIndex(w.reader)
		table := w.index("table", len(w.m.tables))
		if w.err != nil {
			return
		}
		w.pop(1)
		w.work += workByTable
		w.call(op, w.m.types[t], costIndirect+w.missIf(w.farTables))
		w.out = appendU(appendU(w.out, uint64(t)), uint64(table))
		w.loadFuel()
	}
}

func (w *body) call(op byte, t FuncType, cost int) {
	w.calls = true
	w.count(cost)
	w.work += workCall + len(t.Params) + len(t.Results)
	w.storeFuel()
	w.pop(len(t.Params))
	w.push(len(t.Results))
	w.instr(op)
}

// label reads a branch's target and notes that its end is reached from elsewhere.
func (w *body) label() uint32 {
	i := w.index("label", len(w.frames))
	if w.err == nil {
		if f := &w.frames[len(w.frames)-1-int(i)]; f.op != opLoop {
			f.branchedTo = f.branchedTo || !w.dead
		}
	}
	return i
}

func (w *body) enter(op byte) {
	if len(w.frames) >= maxDepth {
		w.fail(ErrTooLarge, "blocks nested deeper than %d", maxDepth)
		return
	}
	f := frame{op: op, deadBefore: w.dead}
	raw := w.signed(33)
	switch {
	case w.err != nil:
		return
	case raw >= 0:
		if int(raw) >= len(w.m.types) {
			w.fail(ErrMalformed, "block of type %d, there are %d", raw, len(w.m.types))
			return
		}
		t := w.m.types[raw]
		f.params, f.results = len(t.Params), len(t.Results)
	case raw == -64: // no result
	case raw >= -64 && typeNames[byte(raw&0x7f)] != "":
		f.results = 1
	default:
		w.fail(ErrUnsupported, "block of type %d", raw)
		return
	}
	if op != opBlock { // a place to branch to is no work
		w.count(costPlain)
	}
	if op == opIf {
		w.pop(1)
	}
	w.pop(f.params)
	f.height, f.before = w.height, w.open
	w.frames = append(w.frames, f)
	w.push(f.params)
	w.instrS(op, raw)
	if op != opBlock {
		w.closeRegion()
	}
	if op == opLoop {
		w.before = nil // nothing outside runs as often
		w.count(costRound)
	}
}

// leave closes the innermost block.
func (w *body) leave() {
	f := w.frames[len(w.frames)-1]
	// A block that nothing branches out of is passed straight through. What follows a
	// loop runs once for all of its rounds.
	joined := f.branchedTo || f.op == opIf || f.op == opElse
	if joined || f.op == opLoop || len(w.frames) == 1 {
		w.closeRegion()
		w.before = f.before.holder()
		if f.switchedTo {
			w.before = nil // one of many cases: a path pays for its own only
		}
	}
	w.dead = f.deadBefore || w.dead && !joined
	w.frames = w.frames[:len(w.frames)-1]
	w.instr(opEnd)
	if len(w.frames) > 0 {
		w.height = f.height
		w.push(f.results)
	}
}
