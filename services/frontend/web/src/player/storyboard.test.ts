import { describe, expect, it } from 'vitest';
import { parseStoryboard, parseTimestamp, thumbnailAt } from './storyboard';

const BASE = 'http://tv.example/media/abc/storyboard.vtt';

const VTT = `WEBVTT

00:00:00.000 --> 00:00:05.000
sprite-1.jpg#xywh=0,0,160,90

00:00:05.000 --> 00:00:10.000
sprite-1.jpg#xywh=160,0,160,90

2
01:00:00.000 --> 01:00:05.500 align:start
/media/abc/sprite-2.jpg#xywh=pixel:320,90,160,90
`;

describe('parseStoryboard', () => {
  it('reads times, addresses and regions', () => {
    expect(parseStoryboard(VTT, BASE)).toEqual([
      { start: 0, end: 5, url: 'http://tv.example/media/abc/sprite-1.jpg', x: 0, y: 0, width: 160, height: 90 },
      { start: 5, end: 10, url: 'http://tv.example/media/abc/sprite-1.jpg', x: 160, y: 0, width: 160, height: 90 },
      { start: 3600, end: 3605.5, url: 'http://tv.example/media/abc/sprite-2.jpg', x: 320, y: 90, width: 160, height: 90 },
    ]);
  });

  it('reads a byte order mark and Windows line ends', () => {
    expect(parseStoryboard(`\uFEFF${VTT.replaceAll('\n', '\r\n')}`, BASE)).toHaveLength(3);
  });

  it.each([
    ['no header', VTT.replace('WEBVTT', '')],
    ['a page of HTML', '<!doctype html>'],
    ['captions', 'WEBVTT\n\n00:00.000 --> 00:05.000\nHello'],
    ['an end before its start', 'WEBVTT\n\n00:05.000 --> 00:04.000\na.jpg#xywh=0,0,1,1'],
    ['an empty region', 'WEBVTT\n\n00:00.000 --> 00:04.000\na.jpg#xywh=0,0,0,1'],
    ['pictures of another origin', 'WEBVTT\n\n00:00.000 --> 00:04.000\nhttp://evil.example/a.jpg#xywh=0,0,1,1'],
  ])('takes nothing from %s', (_, text) => expect(parseStoryboard(text, BASE)).toEqual([]));
});

it.each([
  ['00:05.250', 5.25],
  ['10:00:00.000', 36_000],
  ['5', undefined],
  ['00:99.000', undefined],
])('timestamp %s is %s', (text, seconds) => expect(parseTimestamp(text)).toBe(seconds));

describe('thumbnailAt', () => {
  const thumbnails = parseStoryboard(VTT, BASE);
  it.each([
    [0, 0],
    [4.999, 0],
    [5, 1],
    [1000, 1],
    [3600, 2],
    [99_999, 2],
    [-1, 0],
  ])('%d s show thumbnail %d', (time, index) => expect(thumbnailAt(thumbnails, time)).toBe(thumbnails[index]));

  it('has none when there are none', () => expect(thumbnailAt([], 3)).toBeUndefined());
});
