// Tries the calls of a client and prints how each went, a line of JSON each; as trying.py does.
'use strict';

const [FUTURES, SPOT] = process.argv.slice(2);
const KEY = 'demo00000000000000000000';
const SECRET = 'demo-secret-for-the-simulated-exchange';
const PASSPHRASE = 'demo-passphrase';
const PAIR = 'BTC-USDT';
const CONTRACT = 'XBTUSDTM';
const PATIENCE = 30_000; // ms for the frame of a socket
const ORDERS = 10;

function say(call, error = '') {
  process.stdout.write(`${JSON.stringify({ call, error })}\n`);
}

function why(error) {
  const name = error && error.constructor ? error.constructor.name : 'Error';
  const text = error && error.message !== undefined ? error.message : String(error);
  return `${name}: ${text.split(/\s+/).join(' ').slice(0, 300)}`;
}

// Call a function and say how it went; its result if it passes the check, else null.
async function attempt(call, action, check = Boolean) {
  try {
    const result = await action();
    if (!check(result)) {
      say(call, `unexpected answer: ${JSON.stringify(result).slice(0, 200)}`);
      return null;
    }
    say(call);
    return result;
  } catch (error) {
    say(call, why(error));
    return null;
  }
}

// A price two per cent below the best bid, in whole dollars: an order that rests.
function below(bid) {
  return String(Math.trunc(Number(bid) * 0.98));
}

class Frames {
  constructor() {
    this.frames = [];
    this.waiting = new Set();
  }

  put(frame) {
    this.frames.push(typeof frame === 'string' ? frame : JSON.stringify(frame));
    for (const look of this.waiting) look();
  }

  // Wait for a frame whose text has all these words.
  wait(words, patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.frames.find((frame) => words.every((word) => frame.includes(word)));
        if (found !== undefined) {
          clearTimeout(timer);
          this.waiting.delete(look);
          resolve(found);
        }
      };
      const timer = setTimeout(() => {
        this.waiting.delete(look);
        reject(new Error(`no frame with ${words.join(' and ')} came`));
      }, patience);
      this.waiting.add(look);
      look();
    });
  }
}

// Place orders and cancel them until a frame with the id of one and these words comes: some clients
// do not say when the exchange has acknowledged a topic, so that an order may be too early for it.
async function ownOrder(frames, placeAndCancel, ...words) {
  for (let count = 0; count < ORDERS; count += 1) {
    const id = await placeAndCancel();
    try {
      return await frames.wait([id, ...words], PATIENCE / ORDERS);
    } catch {
      continue;
    }
  }
  throw new Error(`no frame of ${ORDERS} orders came`);
}

module.exports = {
  FUTURES, SPOT, KEY, SECRET, PASSPHRASE, PAIR, CONTRACT,
  Frames, attempt, below, ownOrder,
};
